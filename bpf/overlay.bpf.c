/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The VXLAN device: what other nodes send carries the sender's identity as its VNI.
 */
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/identity.h"
#include "lib/service.h"
#include "lib/masquerade.h"
#include "lib/deliver.h"

const volatile struct node_config config = {};

/* The VNI of the packet's tunnel, over whichever family the underlay has; 0: none. */
static __always_inline __u32 tunnel_id(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};

	if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0) < 0 &&
	    bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6) < 0)
		return 0;
	return key.tunnel_id;
}

/* Sent to the node itself. */
static __always_inline bool is_for_node(const struct pkt *p)
{
	struct addr router = router_address(p), node = node_address(p);
	struct ipcache_entry *entry;

	if (addr_equal(&p->daddr, &router) || addr_equal(&p->daddr, &node))
		return true;
	entry = ipcache_lookup(&p->daddr);
	return entry && entry->identity == IDENTITY_HOST;
}

/* To a pod of this node, if its policy allows. */
static __always_inline int to_local_pod(struct __sk_buff *skb, struct pkt *p, const struct endpoint *pod)
{
	int reason;

	set_end(&p->dst, pod);
	reason = admit_and_reverse(skb, p);
	return reason ? drop(skb, p, reason) : deliver(skb, p, pod);
}

/* The node's own, or the answer of a remote backend to a client outside. */
static __always_inline int to_node(struct __sk_buff *skb, struct pkt *p)
{
	int reason = nat_restore(skb, p);

	if (reason)
		return drop(skb, p, reason);
	if (!(p->flags & PKT_RESTORED) || !p->frontend)
		return to_stack(skb, p, TRACE_TO_STACK);
	p->flags |= p->flags & PKT_ICMP_ERROR ? PKT_REPLY | PKT_RELATED : PKT_REPLY;
	p->dst.identity = identity_of(p, ipcache_lookup(&p->daddr));
	reason = reverse_translate(skb, p);
	return reason ? drop(skb, p, reason) : route(skb, p);
}

/* Everything that comes through the tunnel. */
SEC("tcx/ingress")
int from_overlay(struct __sk_buff *skb)
{
	struct pkt p = { .report.file = FILE_OVERLAY, .direction = POLICY_INGRESS, .flags = PKT_TUNNEL };
	struct endpoint *pod;
	int reason;

	if (!is_ip(skb))
		return TC_ACT_SHOT; /* a routed network: no neighbour discovery through the tunnel */
	p.src.identity = tunnel_id(skb);
	reason = parse(skb, &p);
	if (reason)
		return drop(skb, &p, reason);
	if (!p.src.identity)
		return drop(skb, &p, DROP_INVALID_VNI);
	if (p.src.identity == IDENTITY_HOST)
		p.src.identity = IDENTITY_REMOTE_NODE;
	bpf_skb_change_type(skb, PACKET_HOST); /* the inner destination is no address of this device */
	pod = endpoint_by_addr(&p.daddr);
	if (pod)
		return to_local_pod(skb, &p, pod);
	if (is_for_node(&p))
		return to_node(skb, &p);
	return drop(skb, &p, DROP_STALE_OR_UNROUTABLE_IP);
}

/*
 * Everything that enters the tunnel. The fast path has set the sender's identity; the stack's routes say "this node"
 * for all they carry, which is not true of a pod's packet the fast path left to them.
 */
SEC("tcx/egress")
int to_overlay(struct __sk_buff *skb)
{
	struct pkt p = { .report.file = FILE_OVERLAY, .direction = POLICY_EGRESS };
	struct ipcache_entry *receiver;
	struct endpoint *pod;
	int malformed;

	if (!is_ip(skb) || tunnel_id(skb) != IDENTITY_HOST)
		return TC_ACT_OK;
	malformed = parse(skb, &p);
	pod = endpoint_by_addr(&p.saddr);
	if (!pod)
		return TC_ACT_OK;
	set_end(&p.src, pod);
	if (malformed && malformed != DROP_FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND)
		return drop(skb, &p, malformed);
	receiver = ipcache_lookup(&p.daddr);
	if (!receiver || addr_is_zero(&receiver->tunnel) || set_tunnel(skb, &receiver->tunnel, p.src.identity) < 0)
		return drop(skb, &p, DROP_NO_TUNNEL_OR_ENCAPSULATION_ENDPOINT);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
