/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "hairpin-alias.h"
#include "packet.h"
#include "admit.h"
#include "service.h"
#include "deliver.h"

static __always_inline bool answers_hairpin(const struct pkt *p)
{
	struct addr alias = hairpin_alias(p);

	return addr_equal(&p->daddr, &alias);
}

/* The packet as its connection knows it comes from the alias; header and events differ: see show_source. */
static __always_inline int hairpin_out(struct __sk_buff *skb, struct pkt *p)
{
	struct addr own = p->saddr, alias = hairpin_alias(p);
	int reason;

	p->saddr = alias;
	reason = admit(skb, p);
	p->saddr = own;
	p->report.flags |= EVENT_SNAT;
	return reason ? reason : show_source(skb, p, &alias, p->sport);
}

/* The alias becomes the pod's own address: the destination, and the source of what an ICMP error carries. */
__noinline int hairpin_restore(struct __sk_buff *skb, struct pkt *p)
{
	struct embedded e = {};
	struct peer own = {};
	int reason;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	own.addr = p->saddr;
	if (!(p->flags & PKT_ICMP_ERROR))
		return set_destination(skb, p, &own.addr, p->dport);
	if (!embedded_parse(skb, p, &e))
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	own.port = e.sport;
	reason = set_embedded(skb, p, &e, SIDE_SOURCE, &own);
	if (!reason)
		reason = write_address(skb, p, SIDE_DESTINATION, &p->daddr, &own.addr);
	p->daddr = own.addr;
	return reason;
}

static __always_inline int hairpin_back(struct __sk_buff *skb, struct pkt *p)
{
	int reason = admit_and_reverse(skb, p);

	if (!reason && !(p->ct_flags & CT_HAIRPIN))
		reason = DROP_STALE_OR_UNROUTABLE_IP;
	return reason ? reason : hairpin_restore(skb, p);
}

/* From a pod to the very same pod, past its policies: those are about others. */
static __always_inline int to_itself(struct __sk_buff *skb, struct pkt *p, const struct endpoint *pod)
{
	int reason;

	set_end(&p->dst, pod);
	p->flags |= PKT_HAIRPIN;
	if (p->ttl <= 1) /* the stack would send its error to the alias */
		return drop(skb, p, DROP_TTL_EXCEEDED);
	reason = p->frontend ? hairpin_out(skb, p) : hairpin_back(skb, p);
	return reason ? drop(skb, p, reason) : deliver(skb, p, pod);
}
