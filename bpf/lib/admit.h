/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "conntrack.h"
#include "verdict.h"
#include "embedded.h"
#include "adopt.h"
#include "service.h"
#include "beside.h"

/* An ICMP error belongs to the connection of the packet it carries, if that packet was its receiver's. */
static __always_inline bool ct_relate(struct __sk_buff *skb, struct pkt *p)
{
	struct embedded e = {};
	struct ct_entry *ct;
	struct flow f;

	if (!embedded_parse(skb, p, &e) || !addr_equal(&e.saddr, &p->daddr))
		return false;
	flow_of_embedded(&e, &f);
	ct = ct_lookup(&f, p->now);
	if (!ct)
		return false;
	p->flags |= PKT_RELATED | PKT_REPORT;
	if (!is_reply(&f, ct)) /* the error goes against the packet it is about */
		p->flags |= PKT_REPLY;
	p->frontend = ct->frontend;
	p->client_port = ct->port;
	p->ct_flags = ct->flags;
	return true;
}

/*
 * Conntrack and policy in one: finds or creates the packet's entry, judging what is new and what was judged under
 * other policies or identities. A packet of a connection now denied is dropped in both directions; its entry stays
 * and runs out, so that it comes back to life when the policy allows it again. Returns 0, a drop reason or MEETS_SERVICE.
 */
__noinline int admit_as_is(struct __sk_buff *skb, struct pkt *p)
{
	struct ct_entry *ct;
	struct flow f;
	int reason;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	if ((p->flags & PKT_ICMP_ERROR) && ct_relate(skb, p))
		return 0;
	flow_of_packet(p, &f);
	ct = ct_find(p, &f);
	if (ct && meets_service(p, ct)) {
		keep_beside(p, ct);
		return MEETS_SERVICE;
	}
	if (ct) {
		ct_follow_frontend(p, ct);
		adopt(p, ct);
		if (!ct_is_stale(p, ct)) {
			ct_update(p, ct);
			return 0;
		}
	}
	if (!ct && is_of_node(p) && p->proto == IPPROTO_TCP && !begins_tcp(p))
		adopt_open(skb, p);
	reason = judge(p);
	if (p->audited_egress || p->audited_ingress)
		report_audits(skb, p);
	if (reason)
		return reason;
	if (!ct)
		return ct_create(skb, p, &f);
	ct_set_judged(p, ct);
	ct_update(p, ct);
	return 0;
}

/* The same, from another source port where the packet would pass for one of a service's connection. 0 or a drop reason. */
static __always_inline int admit(struct __sk_buff *skb, struct pkt *p)
{
	int reason = admit_as_is(skb, p);

	if (reason != MEETS_SERVICE)
		return reason;
	reason = go_beside(skb, p);
	return reason ? reason : admit_as_is(skb, p);
}

/* Conntrack, policy, and the frontend's address on what answers a service connection. 0 or a drop reason. */
static __always_inline int admit_and_reverse(struct __sk_buff *skb, struct pkt *p)
{
	int reason = admit(skb, p);

	return reason || !needs_reverse(p) ? reason : reverse_translate(skb, p);
}
