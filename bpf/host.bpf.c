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

const volatile struct node_config config = {};

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
	return goes_by_geneve(p) ? to_backend_by_geneve(skb, p, sent, entry) : to_remote_backend(skb, p, sent, entry);
}

/* An answer to what left with the node's address as source, its destination restored. */
static __always_inline int to_original_sender(struct __sk_buff *skb, struct pkt *p, const struct nat_key *came)
{
	struct endpoint *pod = endpoint_by_addr(&p->daddr);

	if (pod)
		return to_local_pod(skb, p, pod);
	return p->frontend ? to_client(skb, p, came) : answer_far_pod(skb, p);
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

/* Everything that arrives on the device. What is none of ours goes to the stack untouched. */
SEC("tcx/ingress")
int from_device(struct __sk_buff *skb)
{
	struct pkt p = { .report.file = FILE_HOST, .direction = POLICY_INGRESS };
	struct endpoint *pod;
	struct nat_key sent;
	int reason, verdict;

	if (!is_ip(skb))
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
	if (!reason && !(p.flags & (PKT_NODEPORT | PKT_RESTORED)))
		return to_host(skb, &p, 0);
	if (!reason)
		reason = identify_sender(&p);
	if (reason)
		return refuse(skb, &p, reason);
	if (p.flags & PKT_DIRECT)
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

/* The node's own process may be answering a connection to one of the node's frontends. */
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
	if (!ct || !(ct->flags & CT_NODEPORT))
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
	known = bpf_map_lookup_elem(&nat, &sent);
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

	if (!is_ip(skb))
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
