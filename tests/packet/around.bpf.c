/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Runs another program between giving the packet a tunnel key and reading the one it has afterwards; a test run can do
 * neither by itself, nor give it a VLAN's tag. cb[0]: VNI to come with, 0 none; cb[4]: tag (TCI) to come with, 0 none. Out: cb[1] VNI, cb[2] and cb[3] last word of the IPv4 or IPv6 remote.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} inner_ingress SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} inner_egress SEC(".maps");

static __noinline int call_ingress(struct __sk_buff *skb)
{
	int missed = 99;

	asm volatile("" : "+r"(missed));
	bpf_tail_call(skb, &inner_ingress, 0);
	return missed;
}

static __noinline int call_egress(struct __sk_buff *skb)
{
	int missed = 99;

	asm volatile("" : "+r"(missed));
	bpf_tail_call(skb, &inner_egress, 0);
	return missed;
}

static __always_inline void before(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = { .tunnel_id = skb->cb[0], .remote_ipv4 = 0x0a000001, .tunnel_ttl = 64 };

	if (key.tunnel_id)
		bpf_skb_set_tunnel_key(skb, &key, sizeof(key), 0);
	if (skb->cb[4])
		bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), skb->cb[4]);
}

static __always_inline void after(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};

	/* what was set for sending has the remote where a received key has the local address */
	if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0) == 0) {
		skb->cb[1] = key.tunnel_id;
		skb->cb[2] = key.local_ipv4;
	} else if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6) == 0) {
		skb->cb[1] = key.tunnel_id;
		skb->cb[3] = bpf_ntohl(key.local_ipv6[3]);
	}
}

SEC("tcx/ingress")
int around_ingress(struct __sk_buff *skb)
{
	int action;

	before(skb);
	action = call_ingress(skb);
	after(skb);
	return action;
}

SEC("tcx/egress")
int around_egress(struct __sk_buff *skb)
{
	int action;

	before(skb);
	action = call_egress(skb);
	after(skb);
	return action;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
