/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "event.h"
#include "drop.h"
#include "maps.h"

static __always_inline void count(const struct pkt *p, __u8 reason)
{
	__u32 key = p->direction * METRIC_DIRECTION + reason;
	struct metric *m = bpf_map_lookup_elem(&metrics, &key);

	if (!m)
		return;
	m->packets++;
	m->bytes += p->length;
}

static __always_inline void count_lost(void)
{
	__u32 key = 0;
	__u64 *lost = bpf_map_lookup_elem(&events_lost, &key);

	if (lost)
		*lost += 1;
}

static __always_inline __u16 event_flags(const struct pkt *p)
{
	__u16 flags = p->report.flags;

	flags |= p->flags & PKT_REPLY ? EVENT_REPLY : 0;
	flags |= p->flags & PKT_V6 ? EVENT_IPV6 : 0;
	flags |= p->flags & PKT_NEW ? EVENT_FIRST : 0;
	flags |= p->flags & PKT_LAST ? EVENT_LAST : 0;
	flags |= p->ct_flags & CT_EGRESS_JUDGED ? EVENT_EGRESS_JUDGED : 0;
	flags |= p->ct_flags & CT_INGRESS_JUDGED ? EVENT_INGRESS_JUDGED : 0;
	return flags;
}

/* Writes p->report and what the packet is into the ring buffer. Never wakes the reader. */
__noinline int emit_at(struct pkt *p, __u32 ifindex)
{
	struct flow_event *e;

	if (!p)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost();
		return 0;
	}
	e->time_ns = bpf_ktime_get_boot_ns();
	e->bytes = p->report.bytes;
	e->packets = p->report.packets;
	e->saddr = p->saddr;
	e->daddr = p->daddr;
	e->length = p->length;
	e->src_identity = p->src.identity;
	e->dst_identity = p->dst.identity;
	e->ifindex = ifindex;
	e->frontend = p->frontend;
	e->egress_rule = p->egress_rule;
	e->ingress_rule = p->ingress_rule;
	e->sport = is_icmp(p) ? bpf_htons(p->icmp_type) : p->sport;
	e->dport = is_icmp(p) ? bpf_htons(p->icmp_code) : p->dport;
	e->src_endpoint = p->src.id;
	e->dst_endpoint = p->dst.id;
	e->line = p->report.line;
	e->file = p->report.file;
	e->type = p->report.type;
	e->reason = p->report.reason;
	e->point = p->report.point;
	e->proto = p->proto;
	e->tcp_flags = p->tcp_flags;
	e->flags = event_flags(p);
	e->tunnel = (p->flags & PKT_TUNNEL) != 0;
	e->untold = p->report.untold;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline void emit(frame_t *frame, struct pkt *p)
{
	emit_at(p, frame_ifindex(frame));
}

/* Whether the drop gets a record of its own; see drop-budget.h. */
static __always_inline bool is_told(struct pkt *p, __u8 reason)
{
	struct drop_key key = {
		.src_identity = p->src.identity,
		.dst_identity = p->dst.identity,
		.dport = is_icmp(p) ? 0 : p->dport,
		.proto = p->proto,
		.reason = reason,
	};
	struct drop_budget first = { .second = now_sec(), .told = 1 };
	struct drop_budget *budget;
	__u32 zero = 0;

	if (p->ingress_rule == RULE_PREFILTER) /* all of it has one: who floods chooses ports and protocols */
		budget = bpf_map_lookup_elem(&prefilter_budget, &zero);
	else
		budget = bpf_map_lookup_elem(&drop_budgets, &key);
	if (budget)
		return drop_budget_spend(budget, first.second, &p->report.untold);
	bpf_map_update_elem(&drop_budgets, &key, &first, BPF_ANY);
	return true;
}

/* The one way a packet is dropped. */
__noinline int drop_at(frame_t *frame, struct pkt *p, __u32 reason, __u32 line)
{
	if (!p)
		return FRAME_DROP;
	p->report.type = EVENT_DROP;
	p->report.reason = reason;
	p->report.line = line;
	p->report.point = p->direction == POLICY_EGRESS ? TRACE_FROM_ENDPOINT : TRACE_TO_ENDPOINT;
	count(p, reason);
	if (is_told(p, reason))
		emit(frame, p);
	return FRAME_DROP;
}

#define drop(frame, p, reason) drop_at(frame, p, reason, __LINE__)

static __always_inline __u8 trace_reason(const struct pkt *p)
{
	if (p->flags & PKT_RELATED)
		return TRACE_REASON_RELATED;
	if (p->flags & PKT_REPLY)
		return TRACE_REASON_REPLY;
	return p->flags & PKT_NEW ? TRACE_REASON_NEW : TRACE_REASON_ESTABLISHED;
}

/* The packet goes on: count it, and tell when conntrack found it worth an event. */
static __always_inline void forwarded(frame_t *frame, struct pkt *p, __u8 point)
{
	count(p, 0);
	if (!(p->flags & PKT_REPORT) || !(config.flags & CONFIG_FLOWS))
		return;
	p->report.type = EVENT_TRACE;
	p->report.point = point;
	p->report.reason = trace_reason(p);
	emit(frame, p);
}
