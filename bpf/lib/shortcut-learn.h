/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "shortcut.h"

/* How a shortcut is found: what became of a packet stands in its frame. */

/* What a sum gains by it: the hop count is the lower byte of its word. */
#define ONE_HOP_LESS 0xfffe

static __always_inline __u16 csum_gain_of(__s64 diff)
{
	return ~csum_fold((__u32)diff);
}

/* The frame has the addresses and ports it leaves with. */
static __always_inline bool shortcut_read(frame_t *frame, const struct pkt *p, struct shortcut *s)
{
	__be32 v4[2] __attribute__((aligned(8)));

	if (is_v6(p)) {
		if (frame_load(frame, address_offset(p, ETH_HLEN, SIDE_SOURCE), &s->leaves, sizeof(s->leaves)) < 0)
			return false;
	} else {
		if (frame_load(frame, address_offset(p, ETH_HLEN, SIDE_SOURCE), v4, sizeof(v4)) < 0)
			return false;
		addr_set_v4(&s->leaves.saddr, v4[0]);
		addr_set_v4(&s->leaves.daddr, v4[1]);
	}
	return frame_load(frame, p->l4, &s->leaves_ports, sizeof(s->leaves_ports)) == 0;
}

/*
 * A place for the flow of a packet that came as `came` and stands in the frame as it leaves, but for its hop count: not in
 * force yet, the caller adds the way. NULL: there is none, or the packet is not one to go by.
 */
static __noinline struct shortcut *shortcut_begin(frame_t *frame, struct pkt *p, const struct nat_key *came)
{
	struct shortcut *s;
	__u64 hash;

	if (!config.shortcuts || (p->flags & (PKT_NEW | PKT_LATER_FRAGMENT | PKT_ICMP_ERROR)) ||
	    (p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) || !is_port_protocol(p->proto))
		return NULL;
	hash = shortcut_hash(&came->saddr, &came->daddr, came->sport, came->dport);
	s = shortcut_place(hash);
	if (s && shortcut_is_in_force(s, p))
		s = shortcut_place(hash >> SHORTCUT_SECOND_PLACE);
	if (!s || shortcut_is_in_force(s, p))
		return NULL;
	s->second = 0;
	if (!shortcut_read(frame, p, s))
		return NULL;
	s->came.saddr = came->saddr;
	s->came.daddr = came->daddr;
	s->came_ports.sport = came->sport;
	s->came_ports.dport = came->dport;
	s->proto = p->proto;
	s->hook = shortcut_hook(p);
	s->revision = shortcut_revision();
	s->identity = p->src.identity;
	s->told = false;
	s->tunnelled = false;
	s->address_gain = csum_gain_of(bpf_csum_diff((__be32 *)&s->came, sizeof(s->came), (__be32 *)&s->leaves,
						     sizeof(s->leaves), 0));
	s->port_gain = csum_gain_of(bpf_csum_diff((__be32 *)&s->came_ports, sizeof(s->came_ports),
						  (__be32 *)&s->leaves_ports, sizeof(s->leaves_ports), 0));
	s->header_gain = csum_gain_of((__u32)s->address_gain + ONE_HOP_LESS);
	return s;
}
