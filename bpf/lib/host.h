/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "identity.h"
#include "parse.h"
#include "maps.h"

/*
 * The node itself as an end that policies select. Its row stands in host_endpoint; without a policy it is no end, and
 * its packets are neither judged nor tracked.
 */

/* Makes the node the end, if it has policies. */
static __always_inline bool set_host_end(struct end *end)
{
	struct endpoint *host;
	__u32 key = 0;

	if (!(config.flags & CONFIG_HOST_FIREWALL))
		return false;
	host = bpf_map_lookup_elem(&host_endpoint, &key);
	if (!host || !host->policy_id)
		return false;
	set_end(end, host);
	return true;
}

/* What no policy of the node stops: the links' own chatter, the overlay, and errors, without which paths have no MTU. */
static __always_inline bool passes_firewall(const struct pkt *p)
{
	return is_link_local_chatter(p) || is_tunnelled(p) || (p->flags & PKT_ICMP_ERROR);
}

static __always_inline bool is_link_local(const struct addr *a)
{
	return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static __always_inline bool is_multicast(const struct addr *a)
{
	return addr_is_v4(a) ? a->bytes[12] >= 224 : a->bytes[0] == 0xff;
}

/* Sent by the node's own stack, not on its way through: what came in by a device remembers which. */
static __always_inline bool is_locally_sent(const struct __sk_buff *skb)
{
	return !skb->ingress_ifindex;
}
