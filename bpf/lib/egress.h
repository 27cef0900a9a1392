/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "identity.h"
#include "masquerade.h"
#include "nat-restore.h"
#include "deliver.h"

/*
 * Egress gateways: chosen pods leave the cluster by a chosen node, with an address of it. The pod's node sends through
 * the tunnel, whatever the routing; the gateway translates the source and takes the answers back.
 */

/* Not inlined: its key would stay on the stack of all that follows. */
static __noinline struct egress_entry *egress_lookup(const struct addr *pod, const struct addr *outside)
{
	struct egress_key key = { .prefixlen = EGRESS_POD_BITS + 128, .saddr = *pod, .daddr = *outside };

	return bpf_map_lookup_elem(&egress, &key);
}

/* Only what a pod itself begins, and only to the outside: pods, nodes and services are reached as ever. */
static __always_inline bool may_leave_by_gateway(const struct pkt *p)
{
	return (config.flags & CONFIG_EGRESS_GATEWAY) && !(p->flags & PKT_REPLY) && is_outside(p, p->dst.identity);
}

/* Shows the outside the egress address in an ICMP error of the pod about what came back to it. 0 or a drop reason. */
static __always_inline int show_own_error(struct __sk_buff *skb, struct pkt *p, const struct addr *source)
{
	__u16 id = p->src.id;
	int reason;

	p->src.id = 0; /* the error's own source is ours to write */
	reason = nat_own_error(skb, p);
	p->src.id = id;
	return reason ? reason : write_address(skb, p, SIDE_SOURCE, &p->saddr, source);
}

/* Gives the packet the egress address. Not inlined: as above. 0 or a drop reason. */
__noinline int translate_pod(struct __sk_buff *skb, struct pkt *p, const struct addr *source)
{
	struct nat_key sent;
	__u32 frontend;
	int reason;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	frontend = p->frontend;
	p->frontend = 0; /* a Service outside is no NodePort: the pod's conntrack entry turns answers round */
	nat_sent_key(p, &sent);
	reason = nat_source(skb, p, &sent, source);
	p->frontend = frontend;
	return reason;
}

/* By the routes for what has this source. The stack is no help: to it such a packet is a forgery. */
__noinline int route_from(struct __sk_buff *skb, struct pkt *p, const struct addr *source)
{
	struct bpf_fib_lookup fib = {};
	long answer;

	if (!p || !source)
		return TC_ACT_SHOT;
	fib_question(skb, p, &fib);
	if (is_v6(p))
		__builtin_memcpy(fib.ipv6_src, source->words, 16);
	else
		fib.ipv4_src = source->words[3];
	answer = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (answer != BPF_FIB_LKUP_RET_SUCCESS && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return drop(skb, p, DROP_FIB_LOOKUP_FAILED);
	if (decrement_ttl(skb, p) < 0)
		return drop(skb, p, DROP_ERROR_WRITING_TO_PACKET);
	forwarded(skb, p, TRACE_TO_NETWORK);
	return redirect_to_neighbour(&fib);
}

/* Out of the cluster from here, with the address of the entry. */
__noinline int leave_from_gateway(struct __sk_buff *skb, struct pkt *p, const struct addr *source)
{
	int reason;

	if (!p || !source)
		return TC_ACT_SHOT;
	if (addr_is_zero(source))
		return drop(skb, p, DROP_NO_EGRESS_IP);
	if (p->ttl <= 1) /* the stack answers "time exceeded" */
		return to_stack(skb, p, TRACE_TO_STACK);
	if (p->flags & PKT_ICMP_ERROR)
		reason = show_own_error(skb, p, source);
	else
		reason = translate_pod(skb, p, source);
	return reason ? drop(skb, p, reason) : route_from(skb, p, source);
}

/* Sends a pod's packet out by its gateway. TC_ACT_UNSPEC: it has none. */
__noinline int leave_by_gateway(struct __sk_buff *skb, struct pkt *p)
{
	struct egress_entry *entry;

	if (!p)
		return TC_ACT_SHOT;
	entry = egress_lookup(&p->saddr, &p->daddr);
	if (!entry || (entry->flags & EGRESS_EXCLUDED))
		return TC_ACT_UNSPEC;
	if (entry->flags & EGRESS_NOBODY)
		return drop(skb, p, DROP_NO_EGRESS_GATEWAY);
	if (entry->flags & EGRESS_GATEWAY)
		return leave_from_gateway(skb, p, &entry->address);
	/* not for the stack, which would send it out from here */
	if (p->ttl > 1 && !fits_tunnel(skb, p, &entry->node))
		return drop(skb, p, DROP_IP_FRAGMENTATION_NOT_SUPPORTED);
	return encapsulate(skb, p, &entry->node);
}

/* From a pod of another node, through the tunnel, to somewhere that is not here: this node is its gateway, or it ends. */
__noinline int leave_for_other_node(struct __sk_buff *skb, struct pkt *p)
{
	struct egress_entry *entry;

	if (!p)
		return TC_ACT_SHOT;
	entry = egress_lookup(&p->saddr, &p->daddr);
	if (!(config.flags & CONFIG_EGRESS_GATEWAY) || !entry || !(entry->flags & EGRESS_GATEWAY))
		return drop(skb, p, DROP_STALE_OR_UNROUTABLE_IP);
	p->dst.identity = identity_of(p, ipcache_lookup(&p->daddr));
	return leave_from_gateway(skb, p, &entry->address);
}

/* An answer, its destination restored, to the node of the pod it is for; what is for nobody behind the tunnel, to the stack. */
__noinline int answer_far_pod(struct __sk_buff *skb, struct pkt *p)
{
	struct egress_entry *left;
	struct ipcache_entry *pod;

	if (!p)
		return TC_ACT_SHOT;
	if (!(config.flags & CONFIG_EGRESS_GATEWAY))
		return to_stack(skb, p, TRACE_TO_STACK);
	pod = ipcache_lookup(&p->daddr);
	if (pod && !addr_is_zero(&pod->tunnel))
		return encapsulate(skb, p, &pod->tunnel);
	left = egress_lookup(&p->daddr, &p->saddr);
	if (!left || !(left->flags & EGRESS_GATEWAY) || addr_is_zero(&left->node))
		return to_stack(skb, p, TRACE_TO_STACK);
	return encapsulate(skb, p, &left->node);
}
