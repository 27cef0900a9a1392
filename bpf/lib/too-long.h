/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "refuse.h"
#include "source-nat.h"

/*
 * Who sends more at a time than a translated packet's way carries is told so, in its own terms: the stack would answer a
 * packet with addresses that its sender does not know, if it took it for one to send on at all.
 */

/* What route() says instead of a verdict; nothing has been written then. */
static __always_inline bool is_too_long(int verdict)
{
	return verdict < TC_ACT_UNSPEC;
}

/* The packet as its sender knows it. */
static __always_inline void as_sent(struct pkt *p, const struct nat_key *sent)
{
	p->saddr = sent->saddr;
	p->daddr = sent->daddr;
	p->sport = sent->sport;
	p->dport = sent->dport;
}

/* In place of the packet, and back to where it came from. False: there is no answer. */
static __always_inline bool make_too_long(struct __sk_buff *skb, struct pkt *p, __u32 mtu)
{
	struct macs back;

	if (!may_answer(p) || read_way_back(skb, &back) || make_too_big(skb, p, mtu))
		return false;
	return bpf_skb_store_bytes(skb, 0, &back, sizeof(back), 0) == 0;
}

/* To who sent the packet by the device, or by the tunnel. The packet ends here. */
__noinline int too_long(struct __sk_buff *skb, struct pkt *p, const struct nat_key *sent, __u32 mtu)
{
	struct ipcache_entry *node;
	int verdict;

	if (!p || !sent)
		return TC_ACT_SHOT;
	verdict = drop(skb, p, DROP_IP_FRAGMENTATION_NOT_SUPPORTED);
	as_sent(p, sent);
	if (!make_too_long(skb, p, mtu))
		return verdict;
	if (!(p->flags & PKT_TUNNEL))
		return bpf_redirect(skb->ifindex, 0);
	node = ipcache_lookup(&p->saddr);
	if (!node || addr_is_zero(&node->tunnel) || set_tunnel(skb, &node->tunnel, IDENTITY_REMOTE_NODE) < 0)
		return verdict;
	return bpf_redirect(config.overlay_ifindex, 0);
}
