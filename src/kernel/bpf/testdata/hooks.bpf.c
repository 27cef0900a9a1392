/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* One small program per kind of hook; each says in `hits` that it ran. */

enum { HIT_FIRST, HIT_SECOND, HIT_XDP, HIT_CONNECT, HIT_LOOKUP, HITS };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HITS);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} prefixes SEC(".maps");

/* the kernel refuses batches on it: for the fallback */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 16);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(max_entries, 4);
		__type(key, __u32);
		__type(value, __u32);
	});
} tables SEC(".maps");

static void hit(__u32 key)
{
	__u64 *n = bpf_map_lookup_elem(&hits, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
}

SEC("tcx/ingress")
int first(struct __sk_buff *skb)
{
	hit(HIT_FIRST);
	return -1;
}

SEC("tcx/ingress")
int second(struct __sk_buff *skb)
{
	hit(HIT_SECOND);
	return -1;
}

SEC("tcx/ingress")
int drop(struct __sk_buff *skb)
{
	hit(HIT_FIRST);
	return 2;
}

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	hit(HIT_XDP);
	return XDP_PASS;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	hit(HIT_CONNECT);
	return 1;
}

SEC("sk_lookup")
int lookup_socket(struct bpf_sk_lookup *ctx)
{
	hit(HIT_LOOKUP);
	return SK_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
