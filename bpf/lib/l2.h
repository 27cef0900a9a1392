/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/types.h>
#include "addr.h"
#include "layout.h"

/* An address that is on no device of the node, and that the node answers for on one of them. */
struct LAYOUT(1) l2_responder_key {
	struct addr addr;
	__u32 ifindex;
	__u32 pad;
};

/*
 * Whoever holds the address's lease writes the time on. Who cannot (an agent that is gone, or cut off) answers no more when another
 * node may.
 */
struct LAYOUT(1) l2_responder {
	__u32 until;  /* seconds of CLOCK_MONOTONIC: no answer from then on */
	__u8 mac[6]; /* of the device: where the address is to be sent */
	__u16 pad;
};
