/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "layout.h"

/* As layout-2; the fields mean something else now. */

struct LAYOUT(1) place {
	__u32 addr[4];
	__be16 port;
	__u16 pad;
	__u32 kind;
};

struct LAYOUT(2) visits {
	__be16 mark;
	__u16 fresh;
	__u32 flags;
	__u64 bytes;
	__u32 packets[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 128);
	__type(key, struct place);
	__type(value, struct visits);
} visits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct visits);
} per_cpu SEC(".maps");

char _license[] SEC("license") = "Dual BSD/GPL";
