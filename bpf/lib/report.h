/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "event.h"
#include "drop.h"
#include "maps.h"

static __always_inline void count(const struct pkt *p, __u8 reason)
{
	struct metric_key key = { .reason = reason, .direction = p->direction };
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

struct event_kind {
	__u8 type;
	__u8 reason;
	__u8 point;
	__u8 pad;
	__u16 line;
};

/* Not inlined: a rare path that would otherwise be in every program several times. Never wakes the reader. */
static __noinline int emit(struct pkt *p, const struct event_kind *kind)
{
	struct flow_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	bool reply = p->flags & PKT_REPLY;
	struct ct_entry *ct = p->ct;

	if (!e) {
		count_lost();
		return 0;
	}
	e->time_ns = bpf_ktime_get_boot_ns();
	e->bytes = ct ? ct->bytes[reply] : 0;
	e->packets = ct ? ct->packets[reply] : 0;
	e->saddr = p->saddr;
	e->daddr = p->daddr;
	e->length = p->length;
	e->src_identity = p->src_identity;
	e->dst_identity = p->dst_identity;
	e->ifindex = p->skb->ifindex;
	e->frontend = p->frontend;
	e->egress_rule = p->egress_rule;
	e->ingress_rule = p->ingress_rule;
	e->sport = p->sport;
	e->dport = p->dport;
	if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMP6) {
		e->sport = bpf_htons(p->icmp_type);
		e->dport = bpf_htons(p->icmp_code);
	}
	e->src_endpoint = p->src ? p->src->id : 0;
	e->dst_endpoint = p->dst ? p->dst->id : 0;
	e->line = kind->line;
	e->file = p->file;
	e->type = kind->type;
	e->reason = kind->reason;
	e->point = kind->point;
	e->proto = p->proto;
	e->tcp_flags = p->tcp_flags;
	e->flags = p->event_flags;
	if (reply)
		e->flags |= EVENT_REPLY;
	if (is_v6(p))
		e->flags |= EVENT_IPV6;
	if (p->flags & PKT_NEW)
		e->flags |= EVENT_FIRST;
	if (p->flags & PKT_LAST)
		e->flags |= EVENT_LAST;
	e->tunnel = (p->flags & PKT_TUNNEL) != 0;
	e->pad = 0;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

/* The one way a packet is dropped. */
static __always_inline int drop_at(struct pkt *p, __u8 reason, __u16 line)
{
	struct event_kind kind = { .type = EVENT_DROP, .reason = reason, .line = line };

	kind.point = p->direction == POLICY_EGRESS ? TRACE_FROM_ENDPOINT : TRACE_TO_ENDPOINT;
	count(p, reason);
	emit(p, &kind);
	return TC_ACT_SHOT;
}

#define drop(p, reason) drop_at(p, reason, __LINE__)

static __always_inline __u8 trace_reason(const struct pkt *p)
{
	if (p->flags & PKT_RELATED)
		return TRACE_REASON_RELATED;
	if (p->flags & PKT_REPLY)
		return TRACE_REASON_REPLY;
	return p->flags & PKT_NEW ? TRACE_REASON_NEW : TRACE_REASON_ESTABLISHED;
}

/* The packet goes on: count it, and tell when conntrack found it worth an event. */
static __always_inline void forwarded(struct pkt *p, __u8 point)
{
	struct event_kind kind = { .type = EVENT_TRACE, .point = point };

	count(p, 0);
	if (!(p->flags & PKT_REPORT) || !(config.flags & CONFIG_FLOWS))
		return;
	kind.reason = trace_reason(p);
	emit(p, &kind);
}
