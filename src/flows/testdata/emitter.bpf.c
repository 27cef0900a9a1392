/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "event.h"

/* One flow event a run, as the datapath writes them: for tests and benchmarks of what reads them. */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} events_lost SEC(".maps");

__u32 runs;

static void address(struct addr *a, __u8 last)
{
	a->words[0] = 0;
	a->words[1] = 0;
	a->words[2] = bpf_htonl(0xffff);
	a->words[3] = bpf_htonl(0x0a000000 | last);
}

SEC("tc")
int emit(struct __sk_buff *skb)
{
	__u32 run = runs++;
	struct flow_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	__u32 key = 0;
	__u64 *lost;

	if (!e) {
		lost = bpf_map_lookup_elem(&events_lost, &key);
		if (lost)
			*lost += 1;
		return TC_ACT_OK;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = bpf_ktime_get_boot_ns();
	address(&e->saddr, 1);
	address(&e->daddr, 2);
	e->src_identity = 1234;
	e->dst_identity = 5678;
	e->src_endpoint = 11;
	e->dst_endpoint = 12;
	e->sport = bpf_htons(run & 0xffff);
	e->dport = bpf_htons(8080);
	e->frontend = 7;
	e->type = EVENT_TRACE;
	e->reason = TRACE_REASON_NEW;
	e->point = TRACE_TO_ENDPOINT;
	e->proto = 6;
	e->tcp_flags = 2;
	e->flags = EVENT_FIRST | EVENT_INGRESS_JUDGED;
	e->ingress_rule = 77;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
