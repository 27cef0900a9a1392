/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The two directions of a pod's host-side veth, one program each for all pods of the node; which pod it is says the
 * ifindex.
 */
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/identity.h"
#include "lib/near.h"
#include "lib/admit.h"
#include "lib/service.h"
#include "lib/service-error.h"
#include "lib/deliver.h"
#include "lib/egress.h"
#include "lib/hairpin.h"
#include "lib/refuse.h"
#include "lib/too-long.h"
#include "lib/deny.h"
#include "lib/host.h"

const volatile struct node_config config = {};

/* Where a packet goes: a pod of this node, else what the ipcache knows of the address (NULL: nothing). */
struct receiver {
	struct endpoint *pod;
	struct ipcache_entry *entry;
};

static __always_inline void find_receiver(struct pkt *p, struct receiver *r, __u64 stamp)
{
	r->entry = NULL;
	r->pod = near_by_addr(&p->daddr, stamp);
	if (r->pod) {
		set_end(&p->dst, r->pod);
		return;
	}
	r->entry = ipcache_lookup(&p->daddr);
	p->dst.identity = identity_of(p, r->entry);
	if (p->dst.identity == IDENTITY_HOST || is_link_local(&p->daddr))
		set_host_end(&p->dst);
}

/* A pod may send from its own addresses only. */
static __always_inline bool source_is_own(const struct pkt *p, const struct endpoint *pod)
{
	if (pod->flags & ENDPOINT_NO_SOURCE_CHECK)
		return true;
	return addr_equal(&p->saddr, is_v6(p) ? &pod->v6 : &pod->v4);
}

/* Between the pod and its node alone; what the node would forward is judged like everything else. */
static __always_inline bool is_for_the_link(const struct pkt *p)
{
	struct ipcache_entry *entry;

	if (!is_link_local_chatter(p))
		return false;
	if (p->daddr.bytes[0] == 0xff || (p->daddr.bytes[0] == 0xfe && (p->daddr.bytes[1] & 0xc0) == 0x80))
		return true;
	entry = ipcache_lookup(&p->daddr);
	return entry && entry->identity == IDENTITY_HOST;
}

/* The answer to a client outside, who knows the frontend alone. The pod is told what is too long for the way there. */
static __always_inline int answer_by_device(struct __sk_buff *skb, struct pkt *p)
{
	int verdict = route_translated(skb, p, NULL);
	__u32 mtu = -verdict;

	if (!is_too_long(verdict))
		return verdict;
	verdict = drop(skb, p, DROP_IP_FRAGMENTATION_NOT_SUPPORTED);
	if (p->client_port) /* its port, as the pod knows it */
		p->dport = p->client_port;
	return make_too_long(skb, p, mtu) ? bpf_redirect_peer(skb->ifindex, 0) : verdict;
}

/* Sends an admitted packet on its way. */
static __always_inline int forward(struct __sk_buff *skb, struct pkt *p, const struct receiver *r)
{
	bool by_device = (p->ct_flags & CT_NODEPORT) && (p->flags & PKT_REPLY);
	struct addr node;

	if (r->pod)
		return deliver(skb, p, r->pod);
	if (r->entry && r->entry->identity == IDENTITY_HOST)
		return to_stack(skb, p, TRACE_TO_HOST);
	if (config.tunnel_ifindex && r->entry && !by_device && !addr_is_zero(&r->entry->tunnel)) {
		node = r->entry->tunnel;
		return encapsulate(skb, p, &node);
	}
	if (may_leave_by_gateway(p)) {
		int verdict = leave_by_gateway(skb, p);

		if (verdict != TC_ACT_UNSPEC)
			return verdict;
	}
	return by_device ? answer_by_device(skb, p) : route(skb, p);
}

/* A pod's packet for a service ends here; it is told so when the service has no backend. */
static __always_inline int refuse(struct __sk_buff *skb, struct pkt *p, int reason)
{
	int verdict = drop(skb, p, reason);

	if (reason != DROP_SERVICE_BACKEND_NOT_FOUND || !make_refusal(skb, p))
		return verdict;
	return bpf_redirect_peer(skb->ifindex, 0);
}

/* What the pod's own policy denies ends here; the pod is told so where the node is set to. */
static __always_inline int deny(struct __sk_buff *skb, struct pkt *p, int reason)
{
	int verdict = drop(skb, p, reason);

	if (!(config.flags & CONFIG_DENY_ICMP) || (p->report.flags & EVENT_INGRESS) ||
	    (reason != DROP_POLICY_DENIED && reason != DROP_POLICY_DENY) || !make_denial(skb, p))
		return verdict;
	return bpf_redirect_peer(skb->ifindex, 0);
}

/* Everything a pod sends. */
SEC("tcx/ingress")
int from_pod(struct __sk_buff *skb)
{
	struct pkt p = { .report.file = FILE_POD, .direction = POLICY_EGRESS };
	struct endpoint *sender;
	struct receiver r;
	__u64 stamp;
	int reason;

	if (skb->protocol == bpf_htons(ETH_P_ARP) && !skb->vlan_present)
		return TC_ACT_OK;
	stamp = near_stamp();
	sender = near_by_ifindex(skb->ifindex, stamp);
	if (!sender)
		return drop(skb, &p, DROP_EP_NOT_READY);
	set_end(&p.src, sender);
	if (skb->vlan_present) /* it would keep the tag, out of the node and into the VLAN */
		return drop(skb, &p, DROP_VLAN_FILTERED);
	if (!is_ip(skb))
		return drop(skb, &p, DROP_UNSUPPORTED_L3_PROTOCOL);
	reason = parse(skb, &p);
	if (reason)
		return drop(skb, &p, reason);
	if (is_for_the_link(&p))
		return TC_ACT_OK;
	find_receiver(&p, &r, stamp);
	if (!source_is_own(&p, sender))
		return drop(skb, &p, DROP_INVALID_SOURCE_IP);

	if (!is_pod_identity(p.dst.identity)) {
		if (is_tunnelled(&p)) /* a node would believe the identity a pod writes there */
			return drop(skb, &p, DROP_ENCAPSULATION_TRAFFIC_IS_PROHIBITED);
		reason = p.flags & PKT_ICMP_ERROR ? error_to_backend(skb, &p) : translate_from_pod(skb, &p);
		if (reason)
			return refuse(skb, &p, reason);
		if (addr_equal(&p.saddr, &p.daddr) || answers_hairpin(&p))
			return to_itself(skb, &p, sender);
		if (p.frontend)
			find_receiver(&p, &r, stamp);
	}
	reason = admit_and_reverse(skb, &p);
	if (reason)
		return deny(skb, &p, reason);
	return forward(skb, &p, &r);
}

/* What the node's stack sends to a pod: the node's own packets, and those the fast path left to it. */
SEC("tcx/egress")
int to_pod(struct __sk_buff *skb)
{
	struct pkt p = { .report.file = FILE_POD, .direction = POLICY_INGRESS };
	struct endpoint *sender, *receiver;
	int reason;

	if (!is_ip(skb))
		return TC_ACT_OK;
	receiver = endpoint_by_ifindex(skb->ifindex);
	if (!receiver)
		return drop(skb, &p, DROP_EP_NOT_READY);
	set_end(&p.dst, receiver);
	reason = parse(skb, &p);
	if (reason)
		return drop(skb, &p, reason);
	if (is_link_local_chatter(&p))
		return TC_ACT_OK;

	sender = endpoint_by_addr(&p.saddr);
	if (sender)
		set_end(&p.src, sender);
	else
		p.src.identity = identity_of(&p, ipcache_lookup(&p.saddr));
	if (p.src.identity == IDENTITY_HOST)
		set_host_end(&p.src);
	reason = admit_and_reverse(skb, &p);
	if (reason)
		return drop(skb, &p, reason);
	forwarded(skb, &p, TRACE_TO_ENDPOINT);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
