/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The world outside a node: where datagrams for it come from, and where what it sends ends. Counted, so that none is lost unseen. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PAYLOAD 18
#define CLIENTS 0xc6120000 /* 198.18.0.0/15 */
#define PORTS_EACH 32768
#define FIRST_PORT 20000

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	__u8 payload[PAYLOAD];
} __attribute__((packed));

struct job {
	__u32 ifindex; /* where it goes out */
	__u32 next;    /* number of the next datagram */
	__u32 mask;    /* of that number the part that says which flow it is */
	__be32 daddr;
	__be16 dport;
	__u8 to[ETH_ALEN];
	__u8 from[ETH_ALEN];
	__u8 pad[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct job);
} jobs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} arrived SEC(".maps");

static __always_inline __u16 folded(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Writes all of the frame: its page held another packet before. */
static __always_inline void write_frame(struct frame *f, const struct job *job, __u32 flow)
{
	__be32 saddr = bpf_htonl(CLIENTS + flow / PORTS_EACH + 1);
	__be16 sport = bpf_htons(FIRST_PORT + flow % PORTS_EACH);
	__be16 udp_length = bpf_htons(sizeof(f->udp) + PAYLOAD);
	__u64 addresses = (__u64)saddr + job->daddr;

	__builtin_memset(f, 0, sizeof(*f));
	__builtin_memcpy(f->eth.h_dest, job->to, ETH_ALEN);
	__builtin_memcpy(f->eth.h_source, job->from, ETH_ALEN);
	f->eth.h_proto = bpf_htons(ETH_P_IP);
	f->ip.version = 4;
	f->ip.ihl = 5;
	f->ip.ttl = 64;
	f->ip.protocol = IPPROTO_UDP;
	f->ip.tot_len = bpf_htons(sizeof(f->ip) + sizeof(f->udp) + PAYLOAD);
	f->ip.saddr = saddr;
	f->ip.daddr = job->daddr;
	f->ip.check = folded(addresses + bpf_htons(0x4500) + f->ip.tot_len + bpf_htons(64 << 8 | IPPROTO_UDP));
	f->udp.source = sport;
	f->udp.dest = job->dport;
	f->udp.len = udp_length;
	f->udp.check = folded(addresses + bpf_htons(IPPROTO_UDP) + udp_length + sport + job->dport + udp_length);
}

/* For BPF_PROG_TEST_RUN with live frames. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	struct frame *frame = (void *)(long)ctx->data;
	__u32 key = 0;
	struct job *job = bpf_map_lookup_elem(&jobs, &key);

	if (!job || (void *)(frame + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	write_frame(frame, job, job->next++ & job->mask);
	return bpf_redirect(job->ifindex, 0);
}

static __always_inline void count(void *data, void *end)
{
	struct frame *frame = data;
	__u32 key = 0;
	__u64 *counter = bpf_map_lookup_elem(&arrived, &key);

	if (counter && (void *)frame->payload <= end && frame->eth.h_proto == bpf_htons(ETH_P_IP) &&
	    frame->ip.protocol == IPPROTO_UDP)
		__sync_fetch_and_add(counter, 1);
}

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	count((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	return XDP_DROP;
}

SEC("tc")
int sink_skb(struct __sk_buff *skb)
{
	count((void *)(long)skb->data, (void *)(long)skb->data_end);
	return TC_ACT_SHOT;
}

/* The least a balancer can do: send the frame back where it came from. */
SEC("xdp")
int bounce(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u8 address[ETH_ALEN];

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(address, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, address, ETH_ALEN);
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
