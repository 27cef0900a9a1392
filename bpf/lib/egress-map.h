/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "layout.h"
#include "addr.h"

/* Longest-prefix match: a pod's address, whole, and a destination outside -> how the pod leaves the cluster for it. */
struct LAYOUT(1) egress_key {
	__u32 prefixlen; /* EGRESS_POD_BITS and the destination's 0..128 */
	struct addr saddr;
	struct addr daddr;
} __attribute__((packed, aligned(4)));

struct LAYOUT(1) egress_entry {
	struct addr address; /* source it leaves with; all zero: the gateway has none for it */
	struct addr node;    /* tunnel to the gateway, on the gateway to the pod's node; all zero: that is this node */
	__u32 flags;         /* enum egress_flag */
	__u32 pad;
};

enum egress_bits { EGRESS_POD_BITS = 128 };

enum egress_flag {
	EGRESS_GATEWAY = 1,  /* this node is the gateway */
	EGRESS_NOBODY = 2,   /* no node is: what would go there is dropped */
	EGRESS_EXCLUDED = 4, /* takes the way it would take without a gateway */
};
