/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "layout.h"

/* A map of an earlier version, with padding: layout-5 has fields there. */

struct LAYOUT(1) count {
	__u32 packets[2];
	__u16 flags;
	__u16 pad;
	__u8 pad2[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct count);
} padded SEC(".maps");

char _license[] SEC("license") = "Dual BSD/GPL";
