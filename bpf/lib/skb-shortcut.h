/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "shortcut.h"
#include "shortcut-learn.h"
#include "deliver.h"

/* Shortcuts at traffic control: by whatever device, to a neighbour that the kernel knows or finds. */

static __always_inline int to_neighbour(struct __sk_buff *skb, struct pkt *p, const struct shortcut *s)
{
	struct bpf_redir_neigh next = { .nh_family = AF_INET };

	if (addr_is_v4(&s->hop)) {
		next.ipv4_nh = s->hop.words[3];
	} else {
		next.nh_family = AF_INET6;
		__builtin_memcpy(next.ipv6_nh, s->hop.words, 16);
	}
	forwarded(skb, p, TRACE_TO_NETWORK);
	return bpf_redirect_neigh(s->ifindex, &next, sizeof(next), 0);
}

/* By the flow's shortcut. TC_ACT_UNSPEC: there is none, and the packet is as it was. */
__noinline int shortcut_take(struct __sk_buff *skb, struct pkt *p)
{
	struct shortcut *s;
	int reason;

	if (!p)
		return TC_ACT_UNSPEC;
	s = shortcut_find(skb, p);
	if (!s)
		return TC_ACT_UNSPEC;
	reason = shortcut_rewrite(skb, p, s);
	if (reason)
		return drop(skb, p, reason);
	return s->tunnelled ? into_tunnel(skb, p, &s->hop) : to_neighbour(skb, p, s);
}
