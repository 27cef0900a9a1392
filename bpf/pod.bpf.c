/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The two ends of a pod's host-side veth, one program each for all pods of the node; which pod it is says the ifindex.
 */
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/identity.h"
#include "lib/conntrack.h"
#include "lib/service.h"
#include "lib/deliver.h"

const volatile struct node_config config = {};

/* A pod may send from its own addresses only; "::" is what duplicate address detection asks from. */
static __always_inline bool source_is_own(const struct pkt *p)
{
	if (p->src->flags & ENDPOINT_NO_SOURCE_CHECK)
		return true;
	return addr_equal(&p->saddr, is_v6(p) ? &p->src->v6 : &p->src->v4);
}

/* Sets who receives the packet; returns what the ipcache knows of a receiver that is not a pod of this node. */
static __always_inline struct ipcache_entry *find_receiver(struct pkt *p)
{
	struct ipcache_entry *entry;

	p->dst = endpoint_by_addr(&p->daddr);
	if (p->dst) {
		p->dst_identity = p->dst->identity;
		return NULL;
	}
	entry = ipcache_lookup(&p->daddr);
	p->dst_identity = identity_of(p, entry);
	return entry;
}

/* Sends an admitted packet on its way. */
static __always_inline int forward(struct pkt *p, const struct ipcache_entry *receiver)
{
	bool by_device = p->ct && (p->ct->flags & CT_NODEPORT) && (p->flags & PKT_REPLY);

	if (p->dst)
		return deliver(p);
	if (receiver && receiver->identity == IDENTITY_HOST)
		return to_stack(p, TRACE_TO_HOST);
	if (config.tunnel_ifindex && receiver && !by_device && !addr_is_zero(&receiver->tunnel))
		return encapsulate(p, &receiver->tunnel);
	return route(p);
}

/* Everything a pod sends. */
SEC("tcx/ingress")
int from_pod(struct __sk_buff *skb)
{
	struct pkt p = { .skb = skb, .file = FILE_POD, .direction = POLICY_EGRESS };
	struct ipcache_entry *receiver;
	struct lb_frontend *service;
	int reason;

	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return TC_ACT_OK;
	p.src = endpoint_by_ifindex(skb->ifindex);
	if (!p.src)
		return drop(&p, DROP_EP_NOT_READY);
	p.src_identity = p.src->identity;
	if (!is_ip(skb))
		return drop(&p, DROP_UNSUPPORTED_L3_PROTOCOL);
	reason = parse(&p);
	if (reason)
		return drop(&p, reason);
	if (is_link_local_chatter(&p))
		return TC_ACT_OK;
	if (!source_is_own(&p))
		return drop(&p, DROP_INVALID_SOURCE_IP);

	receiver = find_receiver(&p);
	if (!is_pod_identity(p.dst_identity)) {
		service = frontend_find(&p.daddr, p.dport, p.proto);
		if (service) {
			reason = translate_service(&p, service);
			if (reason)
				return drop(&p, reason);
			receiver = find_receiver(&p);
		}
	}
	reason = admit(&p);
	if (reason)
		return drop(&p, reason);
	if (needs_reverse(&p)) {
		reason = reverse_translate(&p);
		if (reason)
			return drop(&p, reason);
	}
	return forward(&p, receiver);
}

/* What the node's stack sends to a pod: the node's own packets, and those the fast path left to it. */
SEC("tcx/egress")
int to_pod(struct __sk_buff *skb)
{
	struct pkt p = { .skb = skb, .file = FILE_POD, .direction = POLICY_INGRESS };
	int reason;

	if (!is_ip(skb))
		return TC_ACT_OK;
	p.dst = endpoint_by_ifindex(skb->ifindex);
	if (!p.dst)
		return drop(&p, DROP_EP_NOT_READY);
	p.dst_identity = p.dst->identity;
	reason = parse(&p);
	if (reason)
		return drop(&p, reason);
	if (is_link_local_chatter(&p))
		return TC_ACT_OK;

	p.src = endpoint_by_addr(&p.saddr);
	p.src_identity = p.src ? p.src->identity : identity_of(&p, ipcache_lookup(&p.saddr));
	reason = admit(&p);
	if (reason)
		return drop(&p, reason);
	if (needs_reverse(&p)) {
		reason = reverse_translate(&p);
		if (reason)
			return drop(&p, reason);
	}
	forwarded(&p, TRACE_TO_ENDPOINT);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
