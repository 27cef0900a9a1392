/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "layout.h"
#include "addr.h"

/* A mapping is two entries: how the packet was sent -> how it leaves; how the reply comes -> where it goes. */
struct LAYOUT(1) nat_key {
	struct addr saddr;
	struct addr daddr;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 reply; /* enum nat_direction */
	__u16 pad;
};

enum nat_direction {
	NAT_SENT = 0,
	NAT_REPLY = 1,
	NAT_DIRECT = 2, /* as another node's client comes to a backend here; the entry: the frontend it asked (dsr-answer.h) */
};

struct LAYOUT(1) nat_entry {
	struct addr addr; /* new source (original) or new destination (reply) */
	__be16 port;
	__u16 flags; /* enum nat_flag */
	__u32 expires_sec; /* seconds of CLOCK_MONOTONIC; past it another flow may take the port */
	__u32 frontend; /* reply of a NodePort connection: the source becomes this frontend; 0: masquerade */
	__u32 pad;
};

enum nat_flag {
	NAT_CLOSING = 1,      /* the sender has sent its end */
	NAT_CLOSING_BACK = 2, /* the answerer has */
};
