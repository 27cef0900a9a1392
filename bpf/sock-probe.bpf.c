/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Asks the kernel whether bytes can be put where a socket reads, and be seen there: src/datapath/accelerate-probe.ts. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "lib/kernel-sock.h"

/* Sockets the probe made, by place; what one sends goes to the one at place 0. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u64));
} probe_sockets SEC(".maps");

/* The sender as the helpers know it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} probe_sender SEC(".maps");

/* Its buffer, read as a socket's fields are. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} probe_rcvbuf SEC(".maps");

SEC("sk_msg")
int probe_redirect(struct sk_msg_md *msg)
{
	__u64 sk = (__u64)msg->sk, *sender;
	__u32 key = 0, rcvbuf;

	bpf_map_update_elem(&probe_sender, &key, &sk, BPF_ANY);
	sender = bpf_map_lookup_elem(&probe_sender, &key);
	if (!sender)
		return SK_PASS;
	rcvbuf = sock_rcvbuf(*sender);
	bpf_map_update_elem(&probe_rcvbuf, &key, &rcvbuf, BPF_ANY);
	return bpf_msg_redirect_map(msg, &probe_sockets, 0, BPF_F_INGRESS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
