/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "dsr.h"
#include "forward.h"
#include "identity.h"

/*
 * Direct server return by IP in IP (RFC 2003, RFC 2473): the packet stays as the client sent it, the header around it
 * leads to the backend's own address, from this node's. Every packet of a connection goes so. ipip-answer.h is the
 * other end.
 */

#ifndef IPPROTO_IPIP
#define IPPROTO_IPIP 4
#endif
#define IPPROTO_IP6IP6 41

static __always_inline __u32 ipip_size(const struct pkt *p)
{
	return is_v6(p) ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

/* Whether the packet goes in this way: of direct connections all but errors, which name the backend already. */
static __always_inline bool goes_by_ipip(const struct pkt *p)
{
	return (config.flags & CONFIG_DSR_IPIP) && (p->flags & PKT_DSR) && !(p->flags & PKT_ICMP_ERROR);
}

/* How much a packet for another node's backend grows; see dsr_growth. */
static __always_inline __u32 told_growth(const struct pkt *p, bool told, __u32 length, __u32 room)
{
	return goes_by_ipip(p) ? ipip_size(p) : dsr_growth(p, told, length, room);
}

/* Writes the outer header into the room that is there for it, behind Ethernet's. */
static __always_inline long ipip_store(frame_t *frame, const struct pkt *p, const struct addr *to)
{
	struct addr from = node_address(p);

	if (is_v6(p)) {
		struct ipv6hdr ip = outer_ipv6(&from, to, IPPROTO_IP6IP6, p->length);

		return frame_store(frame, ETH_HLEN, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
	} else {
		struct iphdr ip = outer_ipv4(&from, to, IPPROTO_IPIP, p->length);

		return frame_store(frame, ETH_HLEN, &ip, sizeof(ip), 0);
	}
}
