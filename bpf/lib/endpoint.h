/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "layout.h"
#include "addr.h"

/*
 * A pod's row. The same value stands under its host-side ifindex (map endpoints_by_ifindex)
 * and under each of its addresses (map endpoints_by_addr).
 */
struct LAYOUT(1) endpoint {
	struct addr v4; /* all zero: the pod has no address of this family */
	struct addr v6;
	__u32 identity;
	__u32 policy_id;  /* key into policies; 0: nothing selects the pod */
	__u32 policy_rev; /* changes whenever the policy's entries change: established flows are judged again */
	__u32 ifindex;    /* host-side veth */
	__u16 id;         /* endpoint id, unique on the node */
	__u16 flags;      /* enum endpoint_flag */
	__u8 mac[6];      /* the pod's */
	__u8 host_mac[6]; /* the host-side veth's */
};

/* A copy of a row: near.h. */
struct near_endpoint {
	__u64 stamp; /* of when it was made */
	struct endpoint row;
};

enum near_shape { NEAR_PLACES_BITS = 7, NEAR_PLACES = 1 << NEAR_PLACES_BITS }; /* for each CPU, of either kind */

/* Ids of endpoints that are no pods. */
enum endpoint_id { HOST_ENDPOINT = 65535 };

enum endpoint_flag {
	ENDPOINT_ENFORCE_INGRESS = 1, /* what no entry allows is dropped */
	ENDPOINT_ENFORCE_EGRESS = 2,
	ENDPOINT_AUDIT = 4,           /* judge and report, never drop for policy */
	ENDPOINT_NO_SOURCE_CHECK = 8, /* may send from addresses that are not its own */
	ENDPOINT_AUDITED = 16,        /* its policy has entries of POLICY_ROUND_AUDIT */
};
