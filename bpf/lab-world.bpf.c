/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The lab's outside world: the gateway's namespace holds every address there is (a local route to everything), and
 * these two programs make all of them answer on all ports: TCP connections go to one listener per family, UDP
 * datagrams are sent back. The gateway's own addresses keep to their real listeners.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/addr.h"

#define AF_INET6 10

const volatile struct addr gateway_v4 = {};
const volatile struct addr gateway_v6 = {};

/* Listeners by family: 0 IPv4, 1 IPv6. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} listeners SEC(".maps");

static __always_inline bool is_gateway_v6(const __be32 *words)
{
	return words[0] == gateway_v6.words[0] && words[1] == gateway_v6.words[1] && words[2] == gateway_v6.words[2] &&
	       words[3] == gateway_v6.words[3];
}

SEC("sk_lookup")
int any_port(struct bpf_sk_lookup *ctx)
{
	__u32 index = ctx->family == AF_INET6;
	struct bpf_sock *listener;
	__be32 words[4];

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	if (index == 0 && ctx->local_ip4 == gateway_v4.words[3])
		return SK_PASS;
	if (index == 1) {
		words[0] = ctx->local_ip6[0];
		words[1] = ctx->local_ip6[1];
		words[2] = ctx->local_ip6[2];
		words[3] = ctx->local_ip6[3];
		if (is_gateway_v6(words))
			return SK_PASS;
	}
	listener = bpf_map_lookup_elem(&listeners, &index);
	if (!listener)
		return SK_PASS;
	bpf_sk_assign(ctx, listener, 0);
	bpf_sk_release(listener);
	return SK_PASS;
}

static __always_inline void swap_macs(struct ethhdr *eth)
{
	__u8 kept[ETH_ALEN];

	__builtin_memcpy(kept, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, kept, ETH_ALEN);
}

/* Exchanging addresses and ports leaves the checksums right. */
static __always_inline int send_back(struct __sk_buff *skb, struct ethhdr *eth, struct udphdr *udp)
{
	__be16 port = udp->source;

	udp->source = udp->dest;
	udp->dest = port;
	swap_macs(eth);
	return bpf_redirect(skb->ifindex, 0);
}

static __always_inline int echo_v4(struct __sk_buff *skb, struct ethhdr *eth, void *end)
{
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__be32 address;

	if ((void *)(udp + 1) > end || ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
		return TC_ACT_OK;
	/* More fragments, or not the first. */
	if (ip->frag_off & bpf_htons(0x3fff))
		return TC_ACT_OK;
	if (ip->daddr == gateway_v4.words[3])
		return TC_ACT_OK;
	address = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = address;
	return send_back(skb, eth, udp);
}

static __always_inline int echo_v6(struct __sk_buff *skb, struct ethhdr *eth, void *end)
{
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct in6_addr address;

	if ((void *)(udp + 1) > end || ip->nexthdr != IPPROTO_UDP)
		return TC_ACT_OK;
	if (is_gateway_v6(ip->daddr.in6_u.u6_addr32))
		return TC_ACT_OK;
	address = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = address;
	return send_back(skb, eth, udp);
}

SEC("tcx/ingress")
int echo_udp(struct __sk_buff *skb)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;

	if ((void *)(eth + 1) > end || (eth->h_dest[0] & 1))
		return TC_ACT_OK;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return echo_v4(skb, eth, end);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return echo_v6(skb, eth, end);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
