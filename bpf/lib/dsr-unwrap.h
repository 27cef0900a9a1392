/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "dsr-answer.h"

/* The backend's node, where packets come in others: whose it takes apart, and how. */

/* Of enum bpf_adj_room_flags, since Linux 6.3: what is inside. */
#define DECAP_IPV4 (1ULL << 7)
#define DECAP_IPV6 (1ULL << 8)

/* An address at which this node takes what other nodes send on: its own, or a pod's. */
static __always_inline bool is_backend_here(const struct pkt *p)
{
	struct addr node = node_address(p);

	return addr_equal(&p->daddr, &node) || endpoint_by_addr(&p->daddr);
}

/* A whole packet from a node of the cluster to a pod or process of this one. Nobody else's are taken apart. */
static __always_inline bool is_between_nodes(const struct pkt *p)
{
	struct ipcache_entry *sender = ipcache_lookup(&p->saddr);

	return sender && is_remote_node(sender->identity) && !(p->flags & PKT_LATER_FRAGMENT) && is_backend_here(p);
}

/* Takes `bytes` behind the Ethernet header off; p is then the packet that was behind them. 0 or a drop reason. */
static __always_inline int dsr_unwrap(struct __sk_buff *skb, struct pkt *p, __u32 bytes, __be16 inner)
{
	__u64 flags = inner == bpf_htons(ETH_P_IPV6) ? DECAP_IPV6 : DECAP_IPV4;

	if (bpf_skb_adjust_room(skb, -(__s32)bytes, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | flags) < 0 ||
	    bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &inner, sizeof(inner), 0) < 0)
		return DROP_INVALID_PACKET_DROPPED;
	p->flags = 0;
	return parse(skb, p);
}
