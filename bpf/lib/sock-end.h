/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "addr.h"
#include "layout.h"
#include "event.h"

/* One end of a connection between two pods of this node, seen from that end. */
struct LAYOUT(1) sock_key {
	struct addr local;
	struct addr remote;
	__be16 local_port;
	__be16 remote_port;
	__u32 pad;
};

struct LAYOUT(1) sock_end {
	__u64 sk;     /* the kernel's socket, to look into: it may be another by now, never anything else */
	__u64 cookie; /* the socket's number, never used again; 0: it is not in sock_hash yet */
	__u64 peer;   /* cookie of who has read all that this one sent by TCP; 0: nobody is known to have */
};

/* Sockets of pods by connection. Taken out by the kernel when they close. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 65536);
	__uint(key_size, sizeof(struct sock_key));
	__uint(value_size, sizeof(__u64));
} sock_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct sock_key);
	__type(value, struct sock_end);
} sock_ends SEC(".maps");

/*
 * Cookie of the network namespace an address's pod lives in. A pod may make namespaces of its own and give them
 * whatever address it likes; sockets there are nobody's.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct addr);
	__type(value, __u64);
} sock_pods SEC(".maps");

enum sock_count { SOCK_REDIRECTED, SOCK_PASSED };

/*
 * Messages of sockets that take part: put where the peer reads, or left to TCP. Where one of TCP's stops at a full buffer
 * and its sender does not wait, the kernel lets the next go by the same verdict and asks nobody: that is not counted again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct metric);
} sock_counts SEC(".maps");
