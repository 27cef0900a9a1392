/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Exercises what the loader must understand: every kind of section, map and call. */

struct pair {
	__u32 a;
	__u32 b;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, 8);
	__type(value, __u32);
} inner_one SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 8);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer_array SEC(".maps") = { .values = { [1] = &inner_one } };

int tail(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = { .values = { [1] = (void *)&tail } };

const volatile struct pair config = { 1, 2 };
const volatile __u32 limit = 5;
__u64 seen;
__u32 start = 40;

static __noinline int twice(struct __sk_buff *skb, int n)
{
	return n * 2 + (skb->len == 0);
}

__noinline int global_add(int a, int b)
{
	return a + b;
}

static long step(__u32 i, void *ctx)
{
	*(__u32 *)ctx += i;
	return 0;
}

SEC("tc")
int count(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u64 *n = bpf_map_lookup_elem(&counters, &key);

	if (n)
		*n += 1;
	__sync_fetch_and_add(&seen, 1);
	return global_add(twice(skb, limit), config.b) + start;
}

SEC("tc")
int loop(struct __sk_buff *skb)
{
	__u32 sum = 0;

	bpf_loop(5, step, &sum, 0);
	return twice(skb, sum);
}

SEC("tc")
int tail(struct __sk_buff *skb)
{
	return 77;
}

SEC("tc")
int jump(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &jumps, 1);
	return 1;
}

SEC("tc")
int lookup(struct __sk_buff *skb)
{
	__u32 id = 3;
	struct {
		__u32 bits;
		__u32 addr;
	} key = { 32, 0x01020304 };
	void *map = bpf_map_lookup_elem(&outer, &id);
	__u32 *value = map ? bpf_map_lookup_elem(map, &key) : 0;

	return value ? *value : 0;
}

struct event {
	__u32 n;
	char text[12];
};

SEC("tc")
int emit(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 1;
	event->n = skb->mark;
	__builtin_memcpy(event->text, "hello", 6);
	if (skb->mark & 1)
		bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
