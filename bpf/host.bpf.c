/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The node's device: what the outside sends to services and pods, and what pods send to the outside.
 */
#include "lib/packet.h"
#include "lib/after-xdp.h"
#include "lib/parse.h"
#include "lib/prefilter.h"
#include "lib/sender.h"
#include "lib/admit.h"
#include "lib/service.h"
#include "lib/service-error.h"
#include "lib/source-nat.h"
#include "lib/nat-restore.h"
#include "lib/masquerade.h"
#include "lib/egress.h"
#include "lib/deliver.h"
#include "lib/arrive.h"
#include "lib/refuse.h"
#include "lib/host.h"
#include "lib/ipip-answer.h"
#include "lib/geneve-answer.h"
#include "lib/to-backend.h"
#include "lib/wrapped-error.h"

const volatile struct node_config config = {};

/* A process of the node itself answers for a frontend: to_device turns its answers round. */
static __always_inline int to_own_process(struct __sk_buff *skb, struct pkt *p)
{
	int reason;

	p->dst.identity = IDENTITY_HOST;
	set_host_end(&p->dst);
	reason = admit(skb, p);
	return reason ? drop(skb, p, reason) : to_stack(skb, p, TRACE_TO_HOST);
}

/* On from a frontend of this node to the backend that translate_from_outside chose. */
static __always_inline int to_service(struct __sk_buff *skb, struct pkt *p, const struct nat_key *sent)
{
	struct ipcache_entry *entry;
	struct endpoint *pod;

	pod = endpoint_by_addr(&p->daddr);
	if (pod)
		return to_local_pod(skb, p, pod);
	entry = ipcache_lookup(&p->daddr);
	p->dst.identity = identity_of(p, entry);
	if (p->dst.identity == IDENTITY_HOST)
		return to_own_process(skb, p);
	if (goes_by_geneve(p) || goes_by_ipip(p))
		return to_backend_wrapped(skb, p, sent, entry);
	return to_remote_backend(skb, p, sent, entry);
}

/* What came from outside for a frontend ends here; its sender is told so when the service has no backend. */
static __always_inline int refuse(struct __sk_buff *skb, struct pkt *p, int reason)
{
	int untrue = identify_sender(p);
	int verdict = drop(skb, p, untrue ? untrue : reason);

	if (untrue || reason != DROP_SERVICE_BACKEND_NOT_FOUND || !make_refusal(skb, p))
		return verdict;
	return bpf_redirect(skb->ifindex, 0);
}

/* Sent to an address of the node: one the cluster knows, or one that its routes say is its own. */
__noinline int is_for_host(struct __sk_buff *skb, struct pkt *p)
{
	struct bpf_fib_lookup fib = {};
	struct ipcache_entry *entry;

	if (!p)
		return false;
	entry = ipcache_lookup(&p->daddr);
	if (entry && entry->identity == IDENTITY_HOST)
		return true;
	if (is_multicast(&p->daddr))
		return false;
	if (is_link_local(&p->daddr))
		return true;
	fib_question(skb, p, &fib);
	return bpf_fib_lookup(skb, &fib, sizeof(fib), 0) == BPF_FIB_LKUP_RET_NOT_FWDED;
}

/* What is for the node itself, if its policies allow. malformed: why it could not be parsed, or 0. */
static __always_inline int to_host(struct __sk_buff *skb, struct pkt *p, int malformed)
{
	int reason;

	if (!set_host_end(&p->dst))
		return TC_ACT_OK;
	if ((!malformed && passes_firewall(p)) || !is_for_host(skb, p))
		return TC_ACT_OK;
	if (malformed)
		return p->dst.flags & ENDPOINT_ENFORCE_INGRESS ? drop(skb, p, malformed) : TC_ACT_OK;
	reason = identify_sender(p);
	if (!reason)
		reason = admit(skb, p);
	return reason ? drop(skb, p, reason) : to_stack(skb, p, TRACE_TO_HOST);
}

/*
 * A datagram to a process of the node from a port that a service has led there too: the process would take both for one
 * sender's. Its own packets are not tracked otherwise, so it is looked for.
 */
__noinline int meets_service_here(struct pkt *p)
{
	struct addr node;
	struct ct_entry *ct;
	struct flow f;

	if (!p || p->proto != IPPROTO_UDP)
		return false;
	node = node_address(p);
	if (!addr_equal(&p->daddr, &node))
		return false;
	flow_of_packet(p, &f);
	ct = ct_lookup(&f, p->now);
	return ct && (ct->flags & CT_NODEPORT) && meets_service(p, ct);
}

/* What is for a service, or about an answer of one, goes to its backend: PKT_NODEPORT. 0 or a drop reason. */
static __always_inline int find_service(struct __sk_buff *skb, struct pkt *p)
{
	int reason;

	if (!(p->flags & PKT_ICMP_ERROR))
		return translate_from_outside(skb, p);
	reason = error_to_backend(skb, p);
	p->flags |= p->frontend ? PKT_NODEPORT : 0;
	return reason;
}

/* Everything that arrives on the device. What is none of ours, a VLAN's among it, goes to the stack untouched. */
SEC("tcx/ingress")
int from_device(struct __sk_buff *skb)
{
	struct pkt p = { .report.file = FILE_HOST, .direction = POLICY_INGRESS };
	struct endpoint *pod;
	struct nat_key sent;
	int reason, verdict;
	bool beside = false;

	if (!is_ip(skb) || frame_is_of_vlan(skb))
		return TC_ACT_OK;
	if ((config.flags & CONFIG_GENERIC_XDP) && begin_at_link_header(skb) < 0)
		return TC_ACT_OK;
	if (!(config.flags & CONFIG_XDP) && prefilter_denies(skb, &p))
		return drop(skb, &p, DROP_POLICY_DENY);
	reason = parse(skb, &p);
	if (reason)
		return to_host(skb, &p, reason);
	if (is_tunnelled(&p))
		return TC_ACT_OK;
	verdict = shortcut_take(skb, &p);
	if (verdict != TC_ACT_UNSPEC)
		return verdict;
	if (is_ipip(&p)) {
		reason = ipip_arrive(skb, &p);
		if (reason)
			return drop(skb, &p, reason);
	} else if (is_geneve(&p)) {
		reason = geneve_arrive(skb, &p);
		if (reason)
			return drop(skb, &p, reason);
	} else if (p.flags & PKT_ICMP_ERROR) {
		verdict = wrapped_error(skb, &p);
		if (verdict != TC_ACT_UNSPEC)
			return verdict;
	}
	pod = endpoint_by_addr(&p.daddr);
	if (pod) {
		reason = identify_sender(&p);
		if (!reason && !(p.flags & PKT_DIRECT))
			reason = dsr_arrive(skb, &p);
		return reason ? drop(skb, &p, reason) : to_local_pod(skb, &p, pod);
	}
	nat_sent_key(&p, &sent);
	reason = p.flags & PKT_DIRECT ? 0 : nat_restore(skb, &p);
	if (!reason && !(p.flags & (PKT_RESTORED | PKT_DIRECT)))
		reason = find_service(skb, &p);
	if (!reason && !(p.flags & (PKT_NODEPORT | PKT_RESTORED)) && dsr_has_room(&p) && is_for_host(skb, &p))
		reason = dsr_arrive(skb, &p);
	if (!reason && !(p.flags & (PKT_NODEPORT | PKT_RESTORED))) {
		beside = meets_service_here(&p);
		if (!beside)
			return to_host(skb, &p, 0);
	}
	if (!reason)
		reason = identify_sender(&p);
	if (reason)
		return refuse(skb, &p, reason);
	if (beside || (p.flags & PKT_DIRECT))
		return to_own_process(skb, &p);
	return p.flags & PKT_NODEPORT ? to_service(skb, &p, &sent) : to_original_sender(skb, &p, &sent);
}

/* A process of the node asks a service that nobody answers: where that is to be met by silence, the network is not asked instead. */
static __always_inline bool asks_in_vain(const struct pkt *p)
{
	struct lb_frontend *f;

	if ((config.flags & CONFIG_REFUSE) || (p->proto == IPPROTO_TCP && !begins_tcp(p)))
		return false;
	f = frontend_find(p, LB_SCOPE_ANY);
	return f && !f->count;
}

/* The node's own process may be answering a connection to one of the node's frontends, or one beside it. */
__noinline int from_host(struct __sk_buff *skb, struct pkt *p)
{
	struct ct_entry *ct;
	struct flow f;
	int reason;

	if (!p)
		return TC_ACT_SHOT;
	if (!is_port_protocol(p->proto))
		return TC_ACT_OK;
	if (asks_in_vain(p))
		return drop(skb, p, DROP_SERVICE_BACKEND_NOT_FOUND);
	flow_of_packet(p, &f);
	ct = ct_find(p, &f);
	if (!ct || !((ct->flags & CT_NODEPORT) || ct->port))
		return TC_ACT_OK;
	adopt(p, ct);
	ct_update(p, ct);
	reason = needs_reverse(p) ? reverse_translate(skb, p) : 0;
	if (reason)
		return drop(skb, p, reason);
	forwarded(skb, p, TRACE_TO_NETWORK);
	return TC_ACT_OK;
}

/* What a process of the node sends, if the node's policies allow; an answer from one of its frontends is turned round. */
static __always_inline int from_judged_host(struct __sk_buff *skb, struct pkt *p)
{
	int reason;

	p->dst.identity = identity_of(p, ipcache_lookup(&p->daddr));
	reason = admit_and_reverse(skb, p);
	if (reason)
		return drop(skb, p, reason);
	forwarded(skb, p, TRACE_TO_NETWORK);
	return TC_ACT_OK;
}

/* A pod's packet on its way out of the cluster leaves with the node's address. */
__noinline int masquerade(struct __sk_buff *skb, struct pkt *p)
{
	struct nat_entry *known;
	struct nat_key sent;
	struct addr source;
	int reason;

	if (!p)
		return TC_ACT_SHOT;
	source = node_address(p);
	if (!(config.flags & (is_v6(p) ? CONFIG_MASQUERADE_V6 : CONFIG_MASQUERADE_V4)) || !leaves_cluster(p))
		return TC_ACT_OK;
	nat_sent_key(p, &sent);
	known = nat_find(&sent);
	if (!known && answers_direct_connection(p))
		return TC_ACT_OK;
	if (is_exempt(p) && !is_translated(p, known))
		return TC_ACT_OK;
	reason = nat_source(skb, p, &sent, &source);
	return reason ? drop(skb, p, reason) : TC_ACT_OK;
}

/* Everything that leaves by the device. */
SEC("tcx/egress")
int to_device(struct __sk_buff *skb)
{
	struct pkt p = { .report.file = FILE_HOST, .direction = POLICY_EGRESS };
	struct endpoint *pod;
	struct addr node;
	int malformed;

	if (!is_ip(skb) || frame_is_of_vlan(skb))
		return TC_ACT_OK;
	malformed = parse(skb, &p);
	if ((config.flags & CONFIG_HOST_FIREWALL) && is_locally_sent(skb) && !malformed && set_host_end(&p.src) && !passes_firewall(&p) &&
	    !is_multicast(&p.daddr))
		return from_judged_host(skb, &p);
	node = node_address(&p);
	if (addr_equal(&p.saddr, &node) && !(p.flags & PKT_ICMP_ERROR))
		return malformed || is_tunnelled(&p) ? TC_ACT_OK : from_host(skb, &p);
	pod = endpoint_by_addr(&p.saddr);
	if (pod)
		set_end(&p.src, pod);
	if (p.flags & PKT_ICMP_ERROR) {
		int reason = nat_own_error(skb, &p);

		return reason ? drop(skb, &p, reason) : TC_ACT_OK;
	}
	if (!pod)
		return TC_ACT_OK;
	return malformed ? drop(skb, &p, malformed) : masquerade(skb, &p);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
