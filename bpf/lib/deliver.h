/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/if_packet.h>
#include "packet.h"
#include "report.h"
#include "identity.h"
#include "translate.h"

#define AF_INET 2
#define AF_INET6 10
#define VXLAN_OVERHEAD_V4 50
#define VXLAN_OVERHEAD_V6 70
#define TUNNEL_TTL 64

/* Hands the packet to the node's own network stack. */
static __always_inline int to_stack(struct __sk_buff *skb, struct pkt *p, __u8 point)
{
	forwarded(skb, p, point);
	return TC_ACT_OK;
}

static __always_inline int write_ttl(struct __sk_buff *skb, struct pkt *p, __u8 ttl)
{
	if (is_v6(p))
		return bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, hop_limit), &ttl, 1,
					   BPF_F_RECOMPUTE_CSUM);
	if (bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), p->ttl, ttl, 2) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, ttl), &ttl, 1, 0);
}

static __always_inline int decrement_ttl(struct __sk_buff *skb, struct pkt *p)
{
	return write_ttl(skb, p, p->ttl - 1);
}

struct macs {
	__u8 dst[6];
	__u8 src[6];
};

/* To a pod of this node, past the node's stack straight into the pod. */
static __always_inline int deliver(struct __sk_buff *skb, struct pkt *p, const struct endpoint *to)
{
	struct macs macs;

	if (p->ttl <= 1) /* the stack answers "time exceeded" */
		return to_stack(skb, p, TRACE_TO_STACK);
	__builtin_memcpy(macs.dst, to->mac, 6);
	__builtin_memcpy(macs.src, to->host_mac, 6);
	if (decrement_ttl(skb, p) < 0 || bpf_skb_store_bytes(skb, 0, &macs, sizeof(macs), 0) < 0)
		return drop(skb, p, DROP_ERROR_WRITING_TO_PACKET);
	forwarded(skb, p, TRACE_TO_ENDPOINT);
	return bpf_redirect_peer(to->ifindex, 0);
}

/* Length on the wire of the packet, or of one segment of it. */
static __always_inline __u32 segment_length(struct __sk_buff *skb, const struct pkt *p)
{
	if (!skb->gso_size)
		return p->length;
	return skb->gso_size + p->l4 - ETH_HLEN + p->l4_words * 4;
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

static __always_inline bool fits_tunnel(struct __sk_buff *skb, const struct pkt *p, const struct addr *node)
{
	__u32 overhead = addr_is_v4(node) ? VXLAN_OVERHEAD_V4 : VXLAN_OVERHEAD_V6;

	return segment_length(skb, p) + overhead <= config.mtu;
}

/* Through VXLAN to another node, with the sender's identity as the VNI. */
__noinline int encapsulate(struct __sk_buff *skb, struct pkt *p, const struct addr *node)
{
	if (!p || !node)
		return TC_ACT_SHOT;
	if (p->ttl <= 1 || !fits_tunnel(skb, p, node))
		return to_stack(skb, p, TRACE_TO_STACK);
	if (decrement_ttl(skb, p) < 0)
		return drop(skb, p, DROP_ERROR_WRITING_TO_PACKET);
	if (set_tunnel(skb, node, identity_on_wire(p, p->src.identity)) < 0)
		return drop(skb, p, DROP_NO_TUNNEL_OR_ENCAPSULATION_ENDPOINT);
	p->flags |= PKT_TUNNEL;
	forwarded(skb, p, TRACE_TO_OVERLAY);
	return bpf_redirect(config.overlay_ifindex, 0);
}

static __always_inline void fib_question(struct __sk_buff *skb, const struct pkt *p, struct bpf_fib_lookup *fib)
{
	fib->ifindex = skb->ifindex;
	fib->l4_protocol = p->proto;
	fib->tot_len = skb->gso_size ? 0 : p->length;
	if (is_v6(p)) {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_src, p->saddr.words, 16);
		__builtin_memcpy(fib->ipv6_dst, p->daddr.words, 16);
	} else {
		fib->family = AF_INET;
		fib->ipv4_src = p->saddr.words[3];
		fib->ipv4_dst = p->daddr.words[3];
	}
}

static __always_inline int redirect_to_neighbour(const struct bpf_fib_lookup *fib)
{
	struct bpf_redir_neigh next = { .nh_family = fib->family };

	if (fib->family == AF_INET6)
		__builtin_memcpy(next.ipv6_nh, fib->ipv6_dst, 16);
	else
		next.ipv4_nh = fib->ipv4_dst;
	return bpf_redirect_neigh(fib->ifindex, &next, sizeof(next), 0);
}

/* Where the node's routes say. What they have no plain answer for is left to the stack, which has them all. */
__noinline int route(struct __sk_buff *skb, struct pkt *p)
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
	default:
		return to_stack(skb, p, TRACE_TO_STACK);
	}
	if (decrement_ttl(skb, p) < 0)
		return drop(skb, p, DROP_ERROR_WRITING_TO_PACKET);
	forwarded(skb, p, TRACE_TO_NETWORK);
	return redirect_to_neighbour(&fib);
}
