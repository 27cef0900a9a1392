/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "source-nat.h"
#include "deliver.h"
#include "refuse.h"
#include "dsr.h"
#include "ipip.h"
#include "geneve.h"
#include "skb-shortcut.h"

/*
 * On to a backend of another node, each way there is: translated or told of the frontend, in the tunnel, in a header of
 * its own, or by the node's routes.
 */

/* The client sends less at a time from now on; it is told in its own terms, of the frontend. */
static __always_inline int too_long(struct __sk_buff *skb, struct pkt *p, const struct nat_key *sent, __u32 mtu)
{
	struct addr frontend = sent->daddr;
	int verdict = drop(skb, p, DROP_IP_FRAGMENTATION_NOT_SUPPORTED);

	if (set_destination(skb, p, &frontend, sent->dport) || !make_too_big(skb, p, mtu))
		return verdict;
	return bpf_redirect(skb->ifindex, 0);
}

/* Around the packet as the client sent it, a header that leads to the backend. p says of the inside as before, of the outside its end. */
static __always_inline int wrap(struct __sk_buff *skb, struct pkt *p, const struct nat_key *sent)
{
	__u64 flags = is_v6(p) ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	struct addr frontend = sent->daddr, backend = p->daddr;
	__be16 port = p->dport;

	if (set_destination(skb, p, &frontend, sent->dport) || decrement_ttl(skb, p) < 0 ||
	    bpf_skb_adjust_room(skb, ipip_size(p), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | flags) < 0 ||
	    ipip_store(skb, p, &backend) < 0)
		return DROP_ERROR_WRITING_TO_PACKET;
	p->daddr = backend;
	p->dport = port;
	p->ttl = TUNNEL_TTL;
	p->length += ipip_size(p);
	return 0;
}

/*
 * To the backend of another node: with a source address its answer comes back to, or with the client's own and the
 * frontend to answer for.
 */
__noinline int to_remote_backend(struct __sk_buff *skb, struct pkt *p, const struct nat_key *sent,
				 const struct ipcache_entry *entry)
{
	__u32 length, room = config.mtu, growth;
	struct addr source, node = {};
	struct shortcut *s;
	bool tunnelled;
	int reason;

	if (!p || !sent)
		return TC_ACT_SHOT;
	tunnelled = config.tunnel_ifindex && entry && !addr_is_zero(&entry->tunnel);
	source = tunnelled ? router_address(p) : node_address(p);
	length = segment_length(skb, p);
	if (entry && tunnelled) {
		node = entry->tunnel;
		room -= tunnel_overhead(&node);
	}
	growth = told_growth(p, !(p->flags & PKT_NEW), length, room);
	/* not for the stack to answer: it would name a backend, which the client does not know */
	if (p->ttl <= 1)
		return drop(skb, p, DROP_TTL_EXCEEDED);
	if ((tunnelled || growth) && length + growth > room)
		return too_long(skb, p, sent, room - growth);
	if (p->flags & PKT_NEW)
		p->flags |= PKT_REPORT;
	/* an error is whole already: service-error.h */
	reason = p->flags & (PKT_ICMP_ERROR | PKT_DSR) ? 0 : nat_source(skb, p, sent, &source);
	if (reason)
		return drop(skb, p, reason);
	if (goes_by_ipip(p)) {
		reason = wrap(skb, p, sent);
		return reason ? drop(skb, p, reason) : route(skb, p, NULL);
	}
	s = shortcut_begin(skb, p, sent);
	if (s)
		s->told = growth != 0;
	if (growth)
		reason = dsr_tell(skb, p, sent);
	if (reason)
		return drop(skb, p, reason);
	if (!tunnelled)
		return route(skb, p, s);
	if (s)
		shortcut_by_tunnel(p, s, &node, room - growth);
	return encapsulate(skb, p, &node);
}

/* Behind the outer header p's own follows. 0 or a drop reason. */
static __always_inline int wrap_in_geneve(struct __sk_buff *skb, struct pkt *p, const struct nat_key *sent,
					  const struct addr *node)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
	__u32 growth = geneve_growth(p, node);
	__be16 outer;

	flags |= addr_is_v4(node) ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
	outer = addr_is_v4(node) ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	if (decrement_ttl(skb, p) < 0 || bpf_skb_adjust_room(skb, growth, BPF_ADJ_ROOM_MAC, flags) < 0 ||
	    frame_store(skb, offsetof(struct ethhdr, h_proto), &outer, sizeof(outer), 0) < 0 ||
	    geneve_store(skb, p, sent, node))
		return DROP_ERROR_WRITING_TO_PACKET;
	p->length += growth;
	return 0;
}

/*
 * To another node as a packet of this one's own, which the stack would not take for one to send on: what the node's
 * routes have no plain answer for ends.
 */
__noinline int route_to_node(struct __sk_buff *skb, struct pkt *p, const struct addr *node)
{
	struct bpf_fib_lookup fib = {};
	struct addr from;
	long answer;

	if (!p || !node)
		return TC_ACT_SHOT;
	from = node_address_beside(node);
	fib.ifindex = frame_ifindex(skb);
	fib.l4_protocol = IPPROTO_UDP;
	fib.tot_len = frame_segment_size(skb) ? 0 : p->length;
	fib_between(&fib, &from, node);
	answer = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (answer != BPF_FIB_LKUP_RET_SUCCESS && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return drop(skb, p, DROP_FIB_LOOKUP_FAILED);
	forwarded(skb, p, TRACE_TO_NETWORK);
	return redirect_to_neighbour(&fib);
}

/* To the backend of another node, which is told of the frontend in a header around the packet. */
__noinline int to_backend_by_geneve(struct __sk_buff *skb, struct pkt *p, const struct nat_key *sent,
				    const struct ipcache_entry *entry)
{
	struct addr node;
	__u32 growth;
	int reason;

	if (!p || !sent)
		return TC_ACT_SHOT;
	node = geneve_end(&p->daddr, entry);
	growth = geneve_growth(p, &node);
	if (p->ttl <= 1)
		return drop(skb, p, DROP_TTL_EXCEEDED);
	if (segment_length(skb, p) + growth > config.mtu)
		return too_long(skb, p, sent, config.mtu - growth);
	if (p->flags & PKT_NEW)
		p->flags |= PKT_REPORT;
	reason = wrap_in_geneve(skb, p, sent, &node);
	return reason ? drop(skb, p, reason) : route_to_node(skb, p, &node);
}
