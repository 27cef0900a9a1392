/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Test runs of a program that rewrites its packet: every run begins with the packet as it was at first. The least of
 * programs run the same way is what it is held against.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define HEAD 128

struct packet {
	__u32 length;
	__u32 port_at; /* where a port stands that is another one each time; 0: none does */
	__u32 port;
	__u32 pad;
	__u8 bytes[HEAD];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet);
} packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next_xdp SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next_tc SEC(".maps");

static __always_inline struct packet *next_packet(void)
{
	__u32 key = 0;
	struct packet *packet = bpf_map_lookup_elem(&packets, &key);

	if (packet && packet->port_at && packet->port_at <= HEAD - sizeof(__be16)) {
		packet->port++;
		*(__be16 *)(packet->bytes + packet->port_at) = bpf_htons(1024 + packet->port % 60000);
	}
	return packet;
}

SEC("xdp.frags")
int again_xdp(struct xdp_md *frame)
{
	struct packet *packet = next_packet();
	long longer;

	if (!packet)
		return XDP_ABORTED;
	longer = (long)bpf_xdp_get_buff_len(frame) - packet->length;
	if (longer && bpf_xdp_adjust_head(frame, longer) < 0)
		return XDP_ABORTED;
	if (bpf_xdp_store_bytes(frame, 0, packet->bytes, HEAD) < 0)
		return XDP_ABORTED;
	bpf_tail_call(frame, &next_xdp, 0);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int bounce(struct xdp_md *frame)
{
	void *end = (void *)(long)frame->data_end;
	struct ethhdr *eth = (void *)(long)frame->data;
	__u8 mac[ETH_ALEN];

	if ((void *)(eth + 1) > end)
		return XDP_ABORTED;
	__builtin_memcpy(mac, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, mac, ETH_ALEN);
	return XDP_TX;
}

SEC("tcx/ingress")
int again_tc(struct __sk_buff *skb)
{
	struct packet *packet = next_packet();

	if (!packet || bpf_skb_store_bytes(skb, 0, packet->bytes, HEAD, 0) < 0)
		return TC_ACT_SHOT;
	bpf_tail_call(skb, &next_tc, 0);
	return TC_ACT_SHOT;
}

SEC("tcx/ingress")
int redirect(struct __sk_buff *skb)
{
	return bpf_redirect(skb->ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
