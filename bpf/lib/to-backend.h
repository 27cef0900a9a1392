/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "source-nat.h"
#include "deliver.h"
#include "too-long.h"
#include "dsr.h"
#include "ipip.h"
#include "geneve.h"
#include "skb-shortcut.h"

/*
 * On to a backend of another node, each way there is: translated or told of the frontend, in the tunnel, in a header of
 * its own, or by the node's routes.
 */

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
	int reason, verdict;
	bool tunnelled;

	if (!p || !sent)
		return TC_ACT_SHOT;
	tunnelled = config.tunnel_ifindex && entry && !addr_is_zero(&entry->tunnel);
	source = tunnelled ? router_address(p) : node_address(p);
	length = segment_length(skb, p);
	if (entry && tunnelled) {
		node = entry->tunnel;
		room -= tunnel_overhead(&node);
	}
	growth = dsr_growth(p, !(p->flags & PKT_NEW), length, room);
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
	s = shortcut_begin(skb, p, sent);
	if (s)
		s->told = growth != 0;
	if (growth)
		reason = dsr_tell(skb, p, sent);
	if (reason)
		return drop(skb, p, reason);
	if (!tunnelled) {
		verdict = route_translated(skb, p, s);
		return is_too_long(verdict) ? too_long(skb, p, sent, -verdict - growth) : verdict;
	}
	if (s)
		shortcut_by_tunnel(p, s, &node, room - growth);
	return encapsulate(skb, p, &node);
}

/* Around the packet as the client sent it, a header that leads to the backend. p says of the inside as before, of the outside its end. */
__noinline int wrap_in_ipip(struct __sk_buff *skb, struct pkt *p, const struct nat_key *sent)
{
	struct addr frontend, backend;
	__u64 flags;
	__be16 port;

	if (!p || !sent)
		return DROP_ERROR_WRITING_TO_PACKET;
	flags = is_v6(p) ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	frontend = sent->daddr;
	backend = p->daddr;
	port = p->dport;
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
 * The way of a packet of this node's own, which the stack would not take for one to send on: what the node's routes have
 * no plain answer for ends. 0, a drop reason, or minus what the way carries where that is less than `length`.
 */
__noinline int find_way(struct __sk_buff *skb, const struct addr *to, __u32 length, struct hop *hop)
{
	struct bpf_fib_lookup fib = {};
	struct addr from;
	long answer;

	if (!to || !hop)
		return DROP_FIB_LOOKUP_FAILED;
	from = node_address_beside(to);
	fib.ifindex = frame_ifindex(skb);
	fib.l4_protocol = IPPROTO_UDP; /* or IP in IP, which routes hardly tell apart */
	fib.tot_len = length;
	fib_between(&fib, &from, to);
	answer = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (answer == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return -(int)fib.mtu_result;
	if (answer != BPF_FIB_LKUP_RET_SUCCESS && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return DROP_FIB_LOOKUP_FAILED;
	hop_of(&fib, hop);
	return 0;
}

/*
 * To the backend of another node in a packet of this one's own, to it or to its node, which is told of the frontend. What
 * its way carries is asked before: what has been wrapped is not made an answer any more.
 */
__noinline int to_backend_wrapped(struct __sk_buff *skb, struct pkt *p, const struct nat_key *sent,
				  const struct ipcache_entry *entry)
{
	__u32 growth, length, room = config.mtu;
	struct hop hop = {};
	struct addr to;
	int reason;

	if (!p || !sent)
		return TC_ACT_SHOT;
	to = goes_by_ipip(p) ? p->daddr : geneve_end(&p->daddr, entry);
	growth = goes_by_ipip(p) ? ipip_size(p) : geneve_growth(p, &to);
	length = segment_length(skb, p) + growth;
	if (p->ttl <= 1)
		return drop(skb, p, DROP_TTL_EXCEEDED);
	reason = find_way(skb, &to, length, &hop);
	if (reason < 0 && -reason < room)
		room = -reason;
	if (length > room)
		return too_long(skb, p, sent, room - growth);
	if (p->flags & PKT_NEW)
		p->flags |= PKT_REPORT;
	if (!reason)
		reason = goes_by_ipip(p) ? wrap_in_ipip(skb, p, sent) : wrap_in_geneve(skb, p, sent, &to);
	if (reason)
		return drop(skb, p, reason);
	forwarded(skb, p, TRACE_TO_NETWORK);
	return bpf_redirect_neigh(hop.ifindex, &hop.next, sizeof(hop.next), 0);
}
