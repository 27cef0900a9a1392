/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "identity.h"
#include "admit.h"
#include "service.h"
#include "nat-restore.h"
#include "deliver.h"
#include "egress.h"
#include "skb-shortcut.h"
#include "too-long.h"

/* Where packets from other machines end, by the device or the tunnel alike. */

/* A pod of this node, if its policy allows. */
static __always_inline int to_local_pod(struct __sk_buff *skb, struct pkt *p, const struct endpoint *pod)
{
	int reason;

	set_end(&p->dst, pod);
	reason = admit_and_reverse(skb, p);
	return reason ? drop(skb, p, reason) : deliver(skb, p, pod);
}

/* As `came`, to the client outside whose connection to a frontend another node's backend answers: what nat_restore found. */
static __always_inline int to_client(struct __sk_buff *skb, struct pkt *p, const struct nat_key *came)
{
	int reason, verdict;

	p->flags |= p->flags & PKT_ICMP_ERROR ? PKT_REPLY | PKT_RELATED : PKT_REPLY;
	p->dst.identity = identity_of(p, ipcache_lookup(&p->daddr));
	reason = reverse_translate(skb, p);
	if (reason)
		return drop(skb, p, reason);
	verdict = route_translated(skb, p, shortcut_begin(skb, p, came));
	return is_too_long(verdict) ? too_long(skb, p, came, -verdict) : verdict;
}

/* An answer to what left with an address of the node's as source, its destination restored. */
static __always_inline int to_original_sender(struct __sk_buff *skb, struct pkt *p, const struct nat_key *came)
{
	struct endpoint *pod = endpoint_by_addr(&p->daddr);

	if (pod)
		return to_local_pod(skb, p, pod);
	return p->frontend ? to_client(skb, p, came) : answer_far_pod(skb, p);
}
