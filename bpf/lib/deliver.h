/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/if_packet.h>
#include <linux/ip.h>
#include "csum.h"
#include "packet.h"
#include "report.h"
#include "identity.h"
#include "forward.h"
#include "shortcut.h"

/* Hands the packet to the node's own network stack. */
static __always_inline int to_stack(struct __sk_buff *skb, struct pkt *p, __u8 point)
{
	forwarded(skb, p, point);
	return TC_ACT_OK;
}

/* The Ethernet header, with the first bytes of IP's behind it; NULL: there are none. */
static __always_inline void *writable_head(struct __sk_buff *skb)
{
	const __u32 size = ETH_HLEN + sizeof(struct iphdr);
	void *head = frame_at(skb, 0, size);

	if (head || bpf_skb_pull_data(skb, size) < 0)
		return head;
	return frame_at(skb, 0, size);
}

/*
 * One hop further, to the pod, written where it lies: the calls for it would cost more than all else that a packet of a
 * known connection takes here. Of IPv6 the stack may keep a sum that the hop limit is part of.
 */
static __always_inline long hop_to(struct __sk_buff *skb, struct pkt *p, const struct endpoint *to)
{
	void *head = writable_head(skb);
	struct iphdr *ip = head + ETH_HLEN;

	if (!head)
		return -1;
	_Static_assert(offsetof(struct endpoint, host_mac) == offsetof(struct endpoint, mac) + ETH_ALEN, "as in a frame");
	frame_copy(head, to->mac, 2 * ETH_ALEN);
	if (is_v6(p))
		return decrement_ttl(skb, p);
	ip->ttl--;
	ip->check = csum_fold((__u16)~ip->check + (__u16)~1); /* one less, in the low byte of its word */
	return 0;
}

/* To a pod of this node, past the node's stack straight into the pod. */
static __always_inline int deliver(struct __sk_buff *skb, struct pkt *p, const struct endpoint *to)
{
	if (p->ttl <= 1) /* the stack answers "time exceeded" */
		return to_stack(skb, p, TRACE_TO_STACK);
	if (hop_to(skb, p, to) < 0)
		return drop(skb, p, DROP_ERROR_WRITING_TO_PACKET);
	forwarded(skb, p, TRACE_TO_ENDPOINT);
	return bpf_redirect_peer(to->ifindex, 0);
}

static __always_inline int set_tunnel(struct __sk_buff *skb, const struct addr *node, __u32 identity)
{
	struct bpf_tunnel_key key = { .tunnel_id = identity, .tunnel_ttl = TUNNEL_TTL };

	if (addr_is_v4(node)) {
		key.remote_ipv4 = bpf_ntohl(node->words[3]);
		return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_ZERO_CSUM_TX);
	}
	addr_set_v6((struct addr *)key.remote_ipv6, node->words);
	return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6 | BPF_F_ZERO_CSUM_TX);
}

/* Through VXLAN to another node, with the sender's identity as the VNI. */
static __always_inline int into_tunnel(struct __sk_buff *skb, struct pkt *p, const struct addr *node)
{
	if (set_tunnel(skb, node, identity_on_wire(p, p->src.identity)) < 0)
		return drop(skb, p, DROP_NO_TUNNEL_OR_ENCAPSULATION_ENDPOINT);
	p->flags |= PKT_TUNNEL;
	forwarded(skb, p, TRACE_TO_OVERLAY);
	return bpf_redirect(config.overlay_ifindex, 0);
}

/* The same for what fits and has a hop left; else the stack answers. */
__noinline int encapsulate(struct __sk_buff *skb, struct pkt *p, const struct addr *node)
{
	if (!p || !node)
		return TC_ACT_SHOT;
	if (p->ttl <= 1 || !fits_tunnel(skb, p, node))
		return to_stack(skb, p, TRACE_TO_STACK);
	if (decrement_ttl(skb, p) < 0)
		return drop(skb, p, DROP_ERROR_WRITING_TO_PACKET);
	return into_tunnel(skb, p, node);
}

/* Of a way: the device and the neighbour. */
struct hop {
	struct bpf_redir_neigh next;
	__u32 ifindex;
};

static __always_inline void hop_of(const struct bpf_fib_lookup *fib, struct hop *hop)
{
	hop->ifindex = fib->ifindex;
	hop->next.nh_family = fib->family;
	if (fib->family == AF_INET6)
		__builtin_memcpy(hop->next.ipv6_nh, fib->ipv6_dst, 16);
	else
		hop->next.ipv4_nh = fib->ipv4_dst;
}

static __always_inline int redirect_to_neighbour(const struct bpf_fib_lookup *fib)
{
	struct hop hop = {};

	hop_of(fib, &hop);
	return bpf_redirect_neigh(hop.ifindex, &hop.next, sizeof(hop.next), 0);
}

/*
 * Where the node's routes say. What they have no plain answer for is left to the stack, which has them all. *s: gets the
 * way, and is in force then; NULL: nobody asks for it. A packet too long for its way: minus what that carries, and
 * nothing has been written (too-long.h).
 */
__noinline int route_translated(struct __sk_buff *skb, struct pkt *p, struct shortcut *s)
{
	struct bpf_fib_lookup fib = {};
	long answer;

	if (!p)
		return TC_ACT_SHOT;
	if (p->ttl <= 1)
		return to_stack(skb, p, TRACE_TO_STACK);
	fib_question(skb, p, &fib);
	answer = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	switch (answer) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		break;
	case BPF_FIB_LKUP_RET_BLACKHOLE:
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return drop(skb, p, DROP_FIB_LOOKUP_FAILED);
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return -(int)fib.mtu_result;
	default:
		return to_stack(skb, p, TRACE_TO_STACK);
	}
	if (decrement_ttl(skb, p) < 0)
		return drop(skb, p, DROP_ERROR_WRITING_TO_PACKET);
	forwarded(skb, p, TRACE_TO_NETWORK);
	if (s && answer == BPF_FIB_LKUP_RET_SUCCESS)
		shortcut_by_route(p, s, &fib);
	return redirect_to_neighbour(&fib);
}

/* The same for what the stack knows as it is: it answers what is too long. */
static __always_inline int route(struct __sk_buff *skb, struct pkt *p)
{
	int verdict = route_translated(skb, p, NULL);

	return verdict < TC_ACT_UNSPEC ? to_stack(skb, p, TRACE_TO_STACK) : verdict;
}
