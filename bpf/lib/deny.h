/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "refuse.h"
#include "host.h"

/* What a pod is told whose own policy denies: ICMP "administratively prohibited" (RFC 1812 5.2.7.1, RFC 4443 3.1). */

/* The sender gave the frontend's address: it would not know what it is told of the backend's. */
static __always_inline int show_frontend(struct __sk_buff *skb, struct pkt *p)
{
	struct lb_reverse_key key = { .frontend = p->frontend };
	struct lb_reverse *reverse;
	struct addr addr;

	if (!(p->report.flags & EVENT_DNAT))
		return 0;
	reverse = bpf_map_lookup_elem(&lb_reverse, &key);
	if (!reverse)
		return -1;
	addr = reverse->addr;
	return set_destination(skb, p, &addr, reverse->port);
}

/* A denial by the sender's own policy, told so many times a second as drops are. False: there is no answer. */
__noinline int make_denial(struct __sk_buff *skb, struct pkt *p)
{
	struct macs back;

	if (!p || !may_answer(p) || (p->flags & PKT_REPLY) || is_multicast(&p->daddr) ||
	    !is_told(p, DROP_RATE_LIMITED) || show_frontend(skb, p) || read_way_back(skb, &back))
		return false;
	if (make_unreachable(skb, p, ICMP4_PROHIBITED, ICMP6_PROHIBITED))
		return false;
	return bpf_skb_store_bytes(skb, 0, &back, sizeof(back), 0) == 0;
}
