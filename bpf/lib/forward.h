/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "translate.h"

/* What every way on has in common: hop count, MACs, room in the tunnel, the question to the node's routes. */

#define AF_INET 2
#define AF_INET6 10
#define VXLAN_OVERHEAD_V4 50
#define VXLAN_OVERHEAD_V6 70
#define TUNNEL_TTL 64

static __always_inline int write_ttl(frame_t *frame, struct pkt *p, __u8 ttl)
{
	if (is_v6(p))
		return frame_store(frame, ETH_HLEN + offsetof(struct ipv6hdr, hop_limit), &ttl, 1,
					   BPF_F_RECOMPUTE_CSUM);
	if (frame_fix_l3(frame, ETH_HLEN + offsetof(struct iphdr, check), p->ttl, ttl, 2) < 0)
		return -1;
	return frame_store(frame, ETH_HLEN + offsetof(struct iphdr, ttl), &ttl, 1, 0);
}

static __always_inline int decrement_ttl(frame_t *frame, struct pkt *p)
{
	return write_ttl(frame, p, p->ttl - 1);
}

/* 0 or a drop reason. */
static __always_inline int one_hop_further(frame_t *frame, struct pkt *p)
{
	return decrement_ttl(frame, p) < 0 ? DROP_ERROR_WRITING_TO_PACKET : 0;
}

struct macs {
	__u8 dst[6];
	__u8 src[6];
};

/* Length on the wire of the packet, or of one segment of it. */
static __always_inline __u32 segment_length(frame_t *frame, const struct pkt *p)
{
	if (!frame_segment_size(frame))
		return p->length;
	return frame_segment_size(frame) + p->l4 - ETH_HLEN + p->l4_words * 4;
}

static __always_inline __u32 tunnel_overhead(const struct addr *node)
{
	return addr_is_v4(node) ? VXLAN_OVERHEAD_V4 : VXLAN_OVERHEAD_V6;
}

static __always_inline bool fits_tunnel(frame_t *frame, const struct pkt *p, const struct addr *node)
{
	return segment_length(frame, p) + tunnel_overhead(node) <= config.mtu;
}

#define ENTROPY_PORTS 0xc000 /* source ports of tunnels: the upper quarter */

/* One flow takes one way through the underlay, another perhaps another. */
static __always_inline __be16 entropy_port(const struct pkt *p)
{
	__u64 h = p->saddr.halves[0] ^ p->saddr.halves[1] ^ p->daddr.halves[0] ^ p->daddr.halves[1];

	h ^= ((__u64)p->sport << 32) | ((__u32)p->dport << 16) | p->proto;
	h *= 0x9e3779b97f4a7c15ull;
	return bpf_htons(ENTROPY_PORTS | (h >> 50));
}

/* The header around a packet of this node's to another, before `length` bytes of what proto says. */
static __always_inline struct iphdr outer_ipv4(const struct addr *from, const struct addr *to, __u8 proto, __u32 length)
{
	struct iphdr ip = {
		.version = 4, .ihl = 5, .ttl = TUNNEL_TTL, .protocol = proto, .frag_off = bpf_htons(IP_DONT_FRAGMENT),
		.tot_len = bpf_htons(sizeof(ip) + length), .saddr = from->words[3], .daddr = to->words[3],
	};

	ip.check = csum_fold((__u32)bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
	return ip;
}

static __always_inline struct ipv6hdr outer_ipv6(const struct addr *from, const struct addr *to, __u8 proto, __u32 length)
{
	struct ipv6hdr ip = {
		.version = 6, .nexthdr = proto, .hop_limit = TUNNEL_TTL, .payload_len = bpf_htons(length),
	};

	__builtin_memcpy(&ip.saddr, from->words, 16);
	__builtin_memcpy(&ip.daddr, to->words, 16);
	return ip;
}

static __always_inline void fib_between(struct bpf_fib_lookup *fib, const struct addr *from, const struct addr *to)
{
	if (addr_is_v4(to)) {
		fib->family = AF_INET;
		fib->ipv4_src = from->words[3];
		fib->ipv4_dst = to->words[3];
	} else {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_src, from->words, 16);
		__builtin_memcpy(fib->ipv6_dst, to->words, 16);
	}
}

static __always_inline void fib_question(frame_t *frame, const struct pkt *p, struct bpf_fib_lookup *fib)
{
	fib->ifindex = frame_ifindex(frame);
	fib->l4_protocol = p->proto;
	fib->tot_len = segment_length(frame, p);
	fib_between(fib, &p->saddr, &p->daddr);
}
