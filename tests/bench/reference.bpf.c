/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A fixed piece of work to hold other programs' times against: their ratio stays when the machine's speed drifts. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

#define L4 (ETH_HLEN + sizeof(struct iphdr))

SEC("tc")
int reference(struct __sk_buff *skb)
{
	__u32 from, to;

	if (bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, saddr), &from, sizeof(from)))
		return TC_ACT_SHOT;
	to = from ^ 0x01000000;
	bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), from, to, sizeof(to));
	bpf_l4_csum_replace(skb, L4 + offsetof(struct tcphdr, check), from, to, BPF_F_PSEUDO_HDR | sizeof(to));
	bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct iphdr, saddr), &to, sizeof(to), 0);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
