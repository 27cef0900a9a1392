/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "layout.h"
#include "addr.h"

/* A fragmented datagram: only its first fragment has the ports, the later ones find them here. */
struct LAYOUT(1) fragment_key {
	struct addr saddr;
	struct addr daddr;
	__be32 id;
	__u8 proto;
	__u8 pad[11];
};

struct LAYOUT(1) fragment {
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 icmp_type;
	__u8 pad[2];
};
