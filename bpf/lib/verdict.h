/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "policy.h"
#include "parse.h"
#include "report.h"

/* What one policy is asked: the kernel's twin of src/policy/verdict.ts. */
struct question {
	struct addr addr; /* at the other end */
	__u32 peer;       /* identity there */
	__u8 direction; /* enum policy_direction */
	__u8 proto;
	__be16 port;
};

static __always_inline struct policy_entry *policy_find(void *policy, const struct question *q, __u8 round, __u32 identity)
{
	struct policy_key key = {
		.prefixlen = POLICY_BITS_PORT,
		.identity = identity,
		.direction = q->direction | round,
		.proto = q->proto,
		.port = q->port,
	};

	return bpf_map_lookup_elem(policy, &key);
}

/* Where an entry stands; what is absent stands with what a block's rules leave open, below all. */
static __always_inline __u32 policy_place(const struct policy_entry *entry)
{
	return entry ? entry->precedence >> POLICY_PLACE_SHIFT : 0;
}

/* What is said of the block that the peer's address is in, or NULL. */
static __always_inline struct policy_entry *policy_find_block(void *policy, const struct question *q, __u8 round)
{
	struct ipcache_key key = { .prefixlen = 128, .addr = q->addr };
	__u32 *block = bpf_map_lookup_elem(&blocks, &key);

	return block && *block ? policy_find(policy, q, round, *block) : NULL;
}

/* The entry that one round finds, or NULL. */
static __always_inline struct policy_entry *policy_look(void *policy, const struct question *q, __u8 round)
{
	struct policy_entry *found = policy_find(policy, q, round, q->peer);
	struct policy_entry *other = q->peer ? policy_find(policy, q, round, 0) : NULL;

	if (!found || policy_place(other) > policy_place(found))
		found = other;
	if (found && !(found->precedence & POLICY_YIELDS))
		return found;
	other = policy_find_block(policy, q, round);
	return policy_place(other) > policy_place(found) ? other : found;
}

/* What the policy says of itself counts, whatever the endpoint's row says yet. Read before the entries: what is newer than it is judged again. */
static __always_inline void policy_adopt(void *policy, struct end *end)
{
	const __u16 flags = ENDPOINT_ENFORCE_INGRESS | ENDPOINT_ENFORCE_EGRESS | ENDPOINT_AUDITED;
	struct policy_key key = { .prefixlen = POLICY_BITS_PORT, .direction = POLICY_ROUND_SELF };
	struct policy_entry *self = bpf_map_lookup_elem(policy, &key);

	if (!self)
		return;
	/* what went through in audit is judged again when that ends: it is another revision */
	end->policy_rev = end->flags & ENDPOINT_AUDIT ? ~self->rule : self->rule;
	end->flags = (end->flags & ~flags) | (self->precedence & flags);
}

/* The entry that decides, or NULL when none does. set: 0, or POLICY_ROUND_AUDIT. */
static __always_inline struct policy_entry *policy_ask(struct end *end, const struct question *q, __u8 set)
{
	struct policy_entry *entry;
	__u32 id = end->policy_id;
	void *policy;

	if (!id)
		return NULL;
	policy = bpf_map_lookup_elem(&policies, &id);
	if (!policy)
		return NULL;
	if (!set)
		policy_adopt(policy, end);
	entry = policy_look(policy, q, set);
	if (!entry || entry->verdict != POLICY_PASS)
		return entry;
	entry = policy_look(policy, q, set | POLICY_ROUND_SECOND);
	return entry && entry->verdict != POLICY_PASS ? entry : NULL;
}

static __always_inline bool enforced(const struct end *end, __u8 direction)
{
	return end->flags & (direction == POLICY_EGRESS ? ENDPOINT_ENFORCE_EGRESS : ENDPOINT_ENFORCE_INGRESS);
}

/* Tells of one denial that is not enforced, with what is known at that end of the connection alone. */
static __always_inline void report_audit(struct __sk_buff *skb, struct pkt *p, __u8 reason, __u8 direction)
{
	__u16 flags = p->report.flags;
	__u32 other = p->ingress_rule;

	p->report.type = EVENT_VERDICT;
	p->report.reason = reason;
	p->report.flags = (flags & ~(EVENT_INGRESS | EVENT_EXPLICIT_DENY)) | EVENT_AUDIT;
	p->report.flags |= reason == DROP_POLICY_DENY ? EVENT_EXPLICIT_DENY : 0;
	if (direction == POLICY_EGRESS) {
		p->report.point = TRACE_FROM_ENDPOINT;
		p->report.flags &= ~EVENT_INGRESS_JUDGED;
		p->ingress_rule = 0;
	} else {
		p->report.point = TRACE_TO_ENDPOINT;
		p->report.flags |= EVENT_INGRESS;
	}
	if (is_told(p, reason))
		emit(skb, p);
	p->report.flags = flags;
	p->report.untold = 0;
	if (direction == POLICY_EGRESS) { /* no rule has allowed it */
		p->egress_rule = 0;
		p->ingress_rule = other;
	} else {
		p->ingress_rule = 0;
	}
}

/* Tells of what judging let through that policy denies. Not within it: the stack is not deep enough. */
__noinline int report_audits(struct __sk_buff *skb, struct pkt *p)
{
	if (!p)
		return 0;
	if (p->audited_egress)
		report_audit(skb, p, p->audited_egress, POLICY_EGRESS);
	if (p->audited_ingress)
		report_audit(skb, p, p->audited_ingress, POLICY_INGRESS);
	p->audited_egress = 0;
	p->audited_ingress = 0;
	return 0;
}

/* Why the entry drops, or 0. What the default denies has an entry too, so that its rule names who isolates. */
static __always_inline int denial(const struct policy_entry *entry)
{
	if (!entry || entry->verdict != POLICY_DENY)
		return 0;
	return entry->precedence & POLICY_EXPLICIT ? DROP_POLICY_DENY : DROP_POLICY_DENIED;
}

static __always_inline void note_rule(struct pkt *p, __u8 direction, __u32 rule)
{
	if (direction == POLICY_INGRESS)
		p->ingress_rule = rule;
	else
		p->egress_rule = rule;
}

static __always_inline void note_audited(struct pkt *p, __u8 direction, __u8 reason)
{
	if (direction == POLICY_INGRESS)
		p->audited_ingress = reason;
	else
		p->audited_egress = reason;
}

/*
 * Asks the policy of one end. Returns 0 or a drop reason; p->egress_rule or ingress_rule is the rule that decided
 * (0: none) either way. The event flags say which direction judged last and that it judged. What an endpoint or a
 * policy in audit denies is noted in p->audited_*.
 */
static __always_inline int judge_end(struct pkt *p, const struct question *q, bool sender)
{
	struct end *end = sender ? &p->src : &p->dst;
	struct policy_entry *entry = policy_ask(end, q, 0);
	int reason = denial(entry);

	p->report.flags &= ~(EVENT_INGRESS | EVENT_EXPLICIT_DENY);
	p->report.flags |= q->direction == POLICY_INGRESS ? EVENT_INGRESS | EVENT_INGRESS_JUDGED : EVENT_EGRESS_JUDGED;
	note_rule(p, q->direction, entry ? entry->rule : 0);
	if (!entry && enforced(end, q->direction))
		reason = DROP_POLICY_DENIED;
	if (reason && !(end->flags & ENDPOINT_AUDIT)) {
		p->report.flags |= reason == DROP_POLICY_DENY ? EVENT_EXPLICIT_DENY : 0;
		return reason;
	}
	if (!reason && (end->flags & ENDPOINT_AUDITED)) {
		entry = policy_ask(end, q, POLICY_ROUND_AUDIT);
		reason = denial(entry);
		if (entry && reason)
			note_rule(p, q->direction, entry->rule);
	}
	if (reason)
		note_audited(p, q->direction, reason);
	return 0;
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

/* An end is the node itself. */
static __always_inline bool is_of_node(const struct pkt *p)
{
	return (config.flags & CONFIG_HOST_FIREWALL) && (p->src.id == HOST_ENDPOINT || p->dst.id == HOST_ENDPOINT);
}

/* A node reaches its own pods whatever its policy: a kubelet's probes must work. The pod's policy has its say. */
static __always_inline bool from_node_to_own_pod(const struct pkt *p, bool reply)
{
	return is_of_node(p) && (reply ? p->dst.id : p->src.id) == HOST_ENDPOINT && p->src.id && p->dst.id;
}

/*
 * Judges the connection the packet belongs to, always as its originator sent it: the policies of both ends, so far
 * as they are pods of this node or, where policies select it, the node. Returns 0 or a drop reason.
 */
__noinline int judge(struct pkt *p)
{
	struct question q = {};
	bool reply;
	int reason;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	if (p->flags & PKT_HAIRPIN) /* without a frontend it answers what was never asked */
		return p->frontend ? 0 : DROP_STALE_OR_UNROUTABLE_IP;
	reply = p->flags & PKT_REPLY;
	q.proto = p->proto;
	q.port = is_icmp(p) ? judged_icmp_type(p) : reply ? p->sport : p->dport;
	if ((reply ? p->dst.id : p->src.id) && !from_node_to_own_pod(p, reply)) {
		q.direction = POLICY_EGRESS;
		q.peer = reply ? p->src.identity : p->dst.identity;
		q.addr = reply ? p->saddr : p->daddr;
		reason = judge_end(p, &q, !reply);
		if (reason)
			return reason;
	}
	if (reply ? p->src.id : p->dst.id) {
		q.direction = POLICY_INGRESS;
		q.peer = reply ? p->dst.identity : p->src.identity;
		q.addr = reply ? p->daddr : p->saddr;
		return judge_end(p, &q, reply);
	}
	return 0;
}
