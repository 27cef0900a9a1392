/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/if_ether.h>
#include "packet.h"

/*
 * For generic XDP, kernels from 6.9 on copy most packets and leave the length of the link-layer header out of the copy:
 * traffic control then begins at the IP header.
 */

/* Makes the packet begin at its Ethernet header, wherever it did. Negative: it has none. */
__noinline int begin_at_link_header(struct __sk_buff *skb)
{
	struct macs_and_type {
		__u32 words[3];
		__u16 type;
	} real, seen = {};

	if (bpf_skb_load_bytes_relative(skb, 0, &real, ETH_HLEN, BPF_HDR_START_MAC) < 0)
		return -1;
	if (bpf_skb_load_bytes(skb, 0, &seen, ETH_HLEN) == 0 && real.words[0] == seen.words[0] &&
	    real.words[1] == seen.words[1] && real.words[2] == seen.words[2] && real.type == seen.type)
		return 0;
	/* clears the bytes it opens, which are the header, and sets its length */
	if (bpf_skb_change_head(skb, ETH_HLEN, 0) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, 0, &real, ETH_HLEN, 0);
}
