/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "policy.h"
#include "parse.h"
#include "report.h"

/* What one policy is asked: the kernel's twin of src/policy/verdict.ts. */
struct question {
	__u32 peer;     /* identity at the other end */
	__u8 direction; /* enum policy_direction */
	__u8 proto;
	__be16 port;
};

static __always_inline struct policy_entry *policy_find(void *policy, const struct question *q, __u32 identity)
{
	struct policy_key key = {
		.prefixlen = POLICY_BITS_PORT,
		.identity = identity,
		.direction = q->direction,
		.proto = q->proto,
		.port = q->port,
	};

	return bpf_map_lookup_elem(policy, &key);
}

/* The entry that decides, or NULL when none matches. */
static __always_inline struct policy_entry *policy_ask(const struct endpoint *ep, const struct question *q)
{
	struct policy_entry *exact, *any;
	__u32 id = ep->policy_id;
	void *policy;

	if (!id)
		return NULL;
	policy = bpf_map_lookup_elem(&policies, &id);
	if (!policy)
		return NULL;
	exact = policy_find(policy, q, q->peer);
	any = q->peer ? policy_find(policy, q, 0) : NULL;
	if (!exact)
		return any;
	if (any && any->precedence > exact->precedence)
		return any;
	return exact;
}

static __always_inline bool enforced(const struct endpoint *ep, __u8 direction)
{
	return ep->flags & (direction == POLICY_EGRESS ? ENDPOINT_ENFORCE_EGRESS : ENDPOINT_ENFORCE_INGRESS);
}

/* A verdict that would drop, on an endpoint that only audits. */
static __always_inline void report_audit(struct pkt *p, __u8 reason, __u8 direction)
{
	struct event_kind kind = { .type = EVENT_VERDICT, .reason = reason };

	kind.point = direction == POLICY_EGRESS ? TRACE_FROM_ENDPOINT : TRACE_TO_ENDPOINT;
	p->event_flags |= EVENT_AUDIT;
	emit(p, &kind);
	p->event_flags &= ~EVENT_AUDIT;
}

/*
 * Asks the policy of one end. Returns 0 or a drop reason; *rule is the rule that decided (0: none) either way.
 * The event flags say which direction judged last and that it judged.
 */
static __always_inline int judge_end(struct pkt *p, const struct endpoint *ep, const struct question *q, __u32 *rule)
{
	struct policy_entry *entry = policy_ask(ep, q);
	int reason = 0;

	*rule = entry ? entry->rule : 0;
	if (q->direction == POLICY_INGRESS)
		p->event_flags = (p->event_flags | EVENT_INGRESS | EVENT_INGRESS_JUDGED) & ~EVENT_EXPLICIT_DENY;
	else
		p->event_flags = (p->event_flags | EVENT_EGRESS_JUDGED) & ~(EVENT_INGRESS | EVENT_EXPLICIT_DENY);
	if (entry && entry->verdict == POLICY_DENY && (entry->precedence & POLICY_EXPLICIT)) {
		p->event_flags |= EVENT_EXPLICIT_DENY;
		reason = DROP_POLICY_DENY;
	} else if (entry && entry->verdict == POLICY_DENY) {
		reason = DROP_POLICY_DENIED;
	} else if (!entry && enforced(ep, q->direction)) {
		reason = DROP_POLICY_DENIED;
	}
	if (reason && (ep->flags & ENDPOINT_AUDIT)) {
		report_audit(p, reason, q->direction);
		reason = 0;
	}
	return reason;
}

/* ICMP is judged by its type, and an answer by the type of what it answers. */
static __always_inline __be16 judged_icmp_type(const struct pkt *p)
{
	if (p->proto == IPPROTO_ICMP && p->icmp_type == ICMP4_ECHO_REPLY && (p->flags & PKT_REPLY))
		return bpf_htons(ICMP4_ECHO);
	if (p->proto == IPPROTO_ICMP6 && p->icmp_type == ICMP6_ECHO_REPLY && (p->flags & PKT_REPLY))
		return bpf_htons(ICMP6_ECHO);
	return bpf_htons(p->icmp_type);
}

/*
 * Judges the connection the packet belongs to, always as its originator sent it: the policies of both ends, so far
 * as they are pods of this node. Not inlined, for it is rare (a new connection or a changed policy). Returns 0 or a
 * drop reason.
 */
static __noinline int judge(struct pkt *p)
{
	bool reply = p->flags & PKT_REPLY;
	struct endpoint *from = reply ? p->dst : p->src;
	struct endpoint *to = reply ? p->src : p->dst;
	struct question q = { .proto = p->proto, .port = reply ? p->sport : p->dport };
	int reason;

	if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMP6)
		q.port = judged_icmp_type(p);
	if (from) {
		q.direction = POLICY_EGRESS;
		q.peer = reply ? p->src_identity : p->dst_identity;
		reason = judge_end(p, from, &q, &p->egress_rule);
		if (reason)
			return reason;
	}
	if (to) {
		q.direction = POLICY_INGRESS;
		q.peer = reply ? p->dst_identity : p->src_identity;
		return judge_end(p, to, &q, &p->ingress_rule);
	}
	return 0;
}
