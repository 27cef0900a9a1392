/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "admit.h"
#include "service.h"
#include "deliver.h"

/*
 * A pod that reaches itself through a service. Its kernel would take a packet from the pod's own address for a
 * forgery, so the pod sees an alias as the client: 169.254.42.1 (link-local, RFC 3927) or 100::ffff:a9fe:2a01 (of the
 * discard-only block, RFC 6666). Nobody owns them; a pod's answer to one comes here by its default route and goes no
 * further than back to that pod. So one alias does for all pods, and the client keeps its port.
 */
#define HAIRPIN_V4 bpf_htonl(0xa9fe2a01)
#define HAIRPIN_V6_PREFIX bpf_htonl(0x01000000)

static __always_inline struct addr hairpin_alias(const struct pkt *p)
{
	struct addr alias;

	addr_set_v4(&alias, HAIRPIN_V4);
	if (is_v6(p))
		alias.words[0] = HAIRPIN_V6_PREFIX;
	return alias;
}

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
