/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The VXLAN device: what other nodes send carries the sender's identity as its VNI. And what only nodes with such a device
 * need: where answers come in to what other nodes' pods send out by this one.
 */
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/identity.h"
#include "lib/sender.h"
#include "lib/admit.h"
#include "lib/service.h"
#include "lib/nat-restore.h"
#include "lib/deliver.h"
#include "lib/egress.h"
#include "lib/arrive.h"
#include "lib/host.h"

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

/* The answer of a remote backend to a client outside. TC_ACT_UNSPEC: it is none. */
__noinline int from_backend(struct __sk_buff *skb, struct pkt *p)
{
	struct nat_key came;
	int reason;

	if (!p)
		return TC_ACT_SHOT;
	nat_sent_key(p, &came);
	reason = nat_restore(skb, p);
	if (reason)
		return drop(skb, p, reason);
	return (p->flags & PKT_RESTORED) && p->frontend ? to_client(skb, p, &came) : TC_ACT_UNSPEC;
}

/* The node's own, or an answer that goes on from it. */
static __always_inline int to_node(struct __sk_buff *skb, struct pkt *p)
{
	int verdict = from_backend(skb, p);
	int reason;

	if (verdict != TC_ACT_UNSPEC)
		return verdict;
	if (!(p->flags & PKT_RESTORED) && set_host_end(&p->dst) && !passes_firewall(p)) {
		reason = admit(skb, p);
		return reason ? drop(skb, p, reason) : to_stack(skb, p, TRACE_TO_HOST);
	}
	return to_stack(skb, p, TRACE_TO_STACK);
}

/* What the stack's routes give everything they carry, as seen from here or from the other node. */
static __always_inline bool is_stacks_tunnel_id(__u32 id)
{
	return id == IDENTITY_REMOTE_NODE || id == IDENTITY_HOST;
}

/* Nodes know each other by their addresses; the tunnel says no more than that it is one. */
static __always_inline __u32 identity_of_node(const struct pkt *p)
{
	struct ipcache_entry *entry = ipcache_lookup(&p->saddr);

	return entry && is_remote_node(entry->identity) ? entry->identity : IDENTITY_REMOTE_NODE;
}

/* Who is outside the cluster, and came with its own address, has an identity by it that this node's policies may ask for. */
static __always_inline __u32 identity_outside(const struct pkt *p)
{
	struct ipcache_entry *entry = ipcache_lookup(&p->saddr);

	return entry && entry->identity >> 24 == IDENTITY_SCOPE_CIDR ? entry->identity : world_identity(p);
}

/* Everything that comes through the tunnel. */
SEC("tcx/ingress")
int from_overlay(struct __sk_buff *skb)
{
	struct pkt p = { .report.file = FILE_OVERLAY, .direction = POLICY_INGRESS, .flags = PKT_TUNNEL };
	struct endpoint *pod;
	int reason, verdict;

	if (!is_ip(skb))
		return TC_ACT_SHOT; /* a routed network: no neighbour discovery through the tunnel */
	p.src.identity = tunnel_id(skb);
	reason = parse(skb, &p);
	if (reason)
		return drop(skb, &p, reason);
	if (!p.src.identity)
		return drop(skb, &p, DROP_INVALID_VNI);
	if (is_stacks_tunnel_id(p.src.identity))
		p.src.identity = identity_of_node(&p);
	else if (p.src.identity == world_identity(&p))
		p.src.identity = identity_outside(&p);
	bpf_skb_change_type(skb, PACKET_HOST); /* the inner destination is no address of this device */
	verdict = shortcut_take(skb, &p);
	if (verdict != TC_ACT_UNSPEC)
		return verdict;
	pod = endpoint_by_addr(&p.daddr);
	if (pod) {
		reason = dsr_arrive(skb, &p);
		return reason ? drop(skb, &p, reason) : to_local_pod(skb, &p, pod);
	}
	if (is_for_node(&p))
		return to_node(skb, &p);
	return leave_for_other_node(skb, &p);
}

/* Who really sends what the stack's routes bring into the tunnel; IDENTITY_HOST: the node itself. */
static __always_inline __u32 sender_through_stack(struct pkt *p)
{
	struct endpoint *pod = endpoint_by_addr(&p->saddr);

	if (pod) {
		set_end(&p->src, pod);
		return pod->identity;
	}
	p->src.identity = identity_of(p, ipcache_lookup(&p->saddr));
	return p->src.identity == IDENTITY_HOST ? IDENTITY_HOST : world_identity(p);
}

/* The node's own, on its way to a pod of another node. */
static __always_inline int from_node(struct __sk_buff *skb, struct pkt *p)
{
	int reason;

	if (!is_locally_sent(skb) || !set_host_end(&p->src) || passes_firewall(p))
		return TC_ACT_OK;
	p->dst.identity = identity_of(p, ipcache_lookup(&p->daddr));
	reason = admit_and_reverse(skb, p);
	if (reason)
		return drop(skb, p, reason);
	forwarded(skb, p, TRACE_TO_OVERLAY);
	return TC_ACT_OK;
}

/*
 * Everything that enters the tunnel. The fast path has set the sender's identity; the stack's routes say "a node"
 * for all they carry, which is true neither of a pod's packet the fast path left to them nor of one from outside.
 */
SEC("tcx/egress")
int to_overlay(struct __sk_buff *skb)
{
	struct pkt p = { .report.file = FILE_OVERLAY, .direction = POLICY_EGRESS };
	struct ipcache_entry *receiver;
	int malformed;
	__u32 sender;

	if (!is_ip(skb) || !is_stacks_tunnel_id(tunnel_id(skb)))
		return TC_ACT_OK;
	malformed = parse(skb, &p);
	sender = sender_through_stack(&p);
	if (sender == IDENTITY_HOST)
		return malformed ? TC_ACT_OK : from_node(skb, &p);
	if (malformed && malformed != DROP_FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND)
		return drop(skb, &p, malformed);
	receiver = ipcache_lookup(&p.daddr);
	if (!receiver || addr_is_zero(&receiver->tunnel) || set_tunnel(skb, &receiver->tunnel, sender) < 0)
		return drop(skb, &p, DROP_NO_TUNNEL_OR_ENCAPSULATION_ENDPOINT);
	return TC_ACT_OK;
}

/*
 * A device with egress addresses that is not the node's own: the answers to what left with them. All else is the stack's, as
 * on any device beside the node's.
 */
SEC("tcx/ingress")
int from_egress_device(struct __sk_buff *skb)
{
	struct pkt p = { .report.file = FILE_OVERLAY, .direction = POLICY_INGRESS };
	struct nat_key came;
	int reason;

	if (!is_ip(skb) || frame_is_of_vlan(skb) || parse(skb, &p))
		return TC_ACT_OK;
	nat_sent_key(&p, &came);
	reason = nat_restore(skb, &p);
	if (!reason && !(p.flags & PKT_RESTORED))
		return TC_ACT_OK;
	if (!reason)
		reason = identify_sender(&p);
	return reason ? drop(skb, &p, reason) : to_original_sender(skb, &p, &came);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
