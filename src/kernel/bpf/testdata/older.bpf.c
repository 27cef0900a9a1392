/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* The maps of first.bpf.c as an earlier version might have had them: the same sizes, other fields. */

struct pair {
	__u32 a;
	__be32 b;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

char _license[] SEC("license") = "Dual BSD/GPL";
