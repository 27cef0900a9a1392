/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "layout.h"
#include "addr.h"

/*
 * Both directions of a connection share one entry: the key holds the two (address, port) pairs in ascending order,
 * the entry says which of them began. ICMP echo: its id as both ports, and who asks in the kind.
 */
struct LAYOUT(1) ct_key {
	struct addr low;
	struct addr high;
	__be16 low_port;
	__be16 high_port;
	__u8 proto;
	__u8 kind; /* enum ct_kind */
	__u16 pad;
};

enum ct_kind {
	CT_FLOW = 0,
	CT_SERVICE = 1, /* client -> frontend as sent (never reordered): remembers the backend */
	CT_ECHO_OF_HIGH = 2, /* a ping that the high pair sent; CT_FLOW: the low one */
};

struct LAYOUT(1) ct_entry {
	__u64 bytes[2];   /* [0] from the originator, [1] replies; CT_SERVICE: the backend's address */
	__u32 packets[2];
	__u32 expires_sec; /* seconds of CLOCK_MONOTONIC; past it the entry counts as absent */
	__u32 src_identity; /* of the originator */
	__u32 dst_identity;
	__u32 src_rev;     /* policy_rev of the originator's policy when its egress was judged */
	__u32 dst_rev;     /* policy_rev of the destination's policy when its ingress was judged */
	__u32 egress_rule; /* rules that allowed it */
	__u32 ingress_rule;
	__u32 frontend;    /* id of the service frontend whose address replies carry; 0: none */
	__u32 backend;     /* CT_SERVICE: the chosen backend */
	__u32 reported_sec[2]; /* when the last event was emitted, per direction */
	__u16 flags;       /* enum ct_flag */
	__u8 tcp_flags[2]; /* seen so far, per direction */
	__be16 port;       /* CT_SERVICE: the source port on the way to the backend, CT_FLOW: the client's own; 0: the same */
	__be16 backend_port; /* CT_SERVICE; 0: of an entry from before this was noted */
};

enum ct_flag {
	CT_HIGH_BEGAN = 1,  /* the originator is the key's high pair */
	CT_SEEN_REPLY = 2,
	CT_EGRESS_JUDGED = 4,
	CT_INGRESS_JUDGED = 8,
	CT_NODEPORT = 16,   /* came in through a node's frontend: replies leave by the device */
	CT_CLOSING = 32,
	CT_SOCKET_LB = 64,  /* frontend was translated at the socket: packets carry the backend's address */
	CT_HAIRPIN = 128,   /* a pod's connection to itself: the originator is the alias of hairpin.h */
	CT_DSR = 256,       /* CT_SERVICE: its backend answers past this node, CT_FLOW: so does the one here (dsr-answer.h) */
};
