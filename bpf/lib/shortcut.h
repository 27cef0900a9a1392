/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "translate.h"
#include "source-nat.h"
#include "forward.h"
#include "dsr.h"
#include "maps.h"

/*
 * A flow that goes through this node to another one takes the way its last packet found: one look, one rewrite. What was
 * found is good for the second it was found in, for the routes and the neighbours are the kernel's, and only as long as
 * user space has written nothing that it rests on. So each second one packet of a flow looks everything up anew, which
 * also keeps its connection and its mappings alive.
 *
 * Each CPU has places of its own: no locks, and nobody reads what another one writes. A flow has two of them; it takes
 * one from its second packet on, unless others are in force in both.
 */

static __always_inline __u32 shortcut_revision(void)
{
	__u32 key = REVISION_SHORTCUTS;
	__u32 *revision = bpf_map_lookup_elem(&revisions, &key);

	return revision ? *revision : 0;
}

static __always_inline __u64 shortcut_hash(const struct addr *from, const struct addr *to, __be16 sport, __be16 dport)
{
	__u64 h = ((__u64)sport << 16 | dport) * 0x9e3779b97f4a7c15ull;

	h = (h ^ (h >> 29) ^ from->halves[0] ^ to->halves[0]) * 0xbf58476d1ce4e5b9ull;
	h = (h ^ (h >> 32) ^ from->halves[1]) * 0x94d049bb133111ebull;
	h = (h ^ (h >> 29) ^ to->halves[1]) * 0x9e3779b97f4a7c15ull;
	return h ^ (h >> 32);
}

/* One of the two places: the hash's lower bits say it, or those above. */
static __always_inline struct shortcut *shortcut_place(__u64 hash)
{
	__u32 index = bpf_get_smp_processor_id() * config.shortcuts + (hash & (config.shortcuts - 1));

	return bpf_map_lookup_elem(&shortcuts, &index);
}

#define SHORTCUT_SECOND_PLACE 40 /* bits up */

static __always_inline __u8 shortcut_hook(const struct pkt *p)
{
	return p->report.file | (p->flags & PKT_TUNNEL ? SHORTCUT_TUNNEL : 0);
}

static __always_inline bool shortcut_is_in_force(const struct shortcut *s, const struct pkt *p)
{
	return s->second == p->now && s->revision == shortcut_revision();
}

static __always_inline bool shortcut_is_of(const struct shortcut *s, const struct pkt *p)
{
	return shortcut_is_in_force(s, p) && s->came_ports.sport == p->sport && s->came_ports.dport == p->dport &&
	       addr_equal(&s->came.saddr, &p->saddr) && addr_equal(&s->came.daddr, &p->daddr) &&
	       s->proto == p->proto && s->hook == shortcut_hook(p);
}

/*
 * The shortcut this packet may take, or NULL. One that begins or ends a connection changes what is known of it: then the
 * next packets have to ask, too.
 */
static __always_inline struct shortcut *shortcut_find(frame_t *frame, struct pkt *p)
{
	struct shortcut *s;
	__u64 hash;

	if (!config.shortcuts || !is_port_protocol(p->proto) || (p->flags & PKT_LATER_FRAGMENT))
		return NULL;
	hash = shortcut_hash(&p->saddr, &p->daddr, p->sport, p->dport);
	s = shortcut_place(hash);
	if (s && !shortcut_is_of(s, p))
		s = shortcut_place(hash >> SHORTCUT_SECOND_PLACE);
	if (!s || !shortcut_is_of(s, p))
		return NULL;
	if (p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST))
		s->second = 0;
	return s->second && p->ttl > 1 && segment_length(frame, p) <= s->mtu ? s : NULL;
}

/* What the packet is to look like when it leaves. 0 or a drop reason. */
static __always_inline int shortcut_rewrite(frame_t *frame, struct pkt *p, const struct shortcut *s)
{
	__u64 flags = p->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 check = p->l4 + checksum_offset(p->proto);
	__be32 v4[2] __attribute__((aligned(8))) = { s->leaves.saddr.words[3], s->leaves.daddr.words[3] };
	struct nat_key sent;

	if (is_v6(p)) {
		if (frame_store(frame, address_offset(p, ETH_HLEN, SIDE_SOURCE), &s->leaves, sizeof(s->leaves),
				BPF_F_RECOMPUTE_CSUM) < 0 ||
		    decrement_ttl(frame, p) < 0)
			return DROP_ERROR_WRITING_TO_PACKET;
	} else {
		__u8 ttl = p->ttl - 1;

		if (frame_store(frame, address_offset(p, ETH_HLEN, SIDE_SOURCE), v4, sizeof(v4), 0) < 0 ||
		    frame_store(frame, ETH_HLEN + offsetof(struct iphdr, ttl), &ttl, 1, 0) < 0 ||
		    frame_fix_l3(frame, ETH_HLEN + offsetof(struct iphdr, check), 0, s->header_gain, 0) < 0)
			return DROP_ERROR_WRITING_TO_PACKET;
	}
	if (frame_fix_l4(frame, check, 0, s->address_gain, BPF_F_PSEUDO_HDR | flags) < 0 ||
	    frame_fix_l4(frame, check, 0, s->port_gain, flags) < 0 ||
	    frame_store(frame, p->l4, &s->leaves_ports, sizeof(s->leaves_ports), 0) < 0)
		return DROP_ERROR_WRITING_TO_PACKET;
	nat_sent_key(p, &sent);
	p->daddr = s->leaves.daddr;
	p->dport = s->leaves_ports.dport;
	p->src.identity = s->identity;
	return s->told ? dsr_tell(frame, p, &sent) : 0;
}

/* Through the tunnel to a node, whose way has room for packets of this length as they come. */
static __always_inline void shortcut_by_tunnel(struct pkt *p, struct shortcut *s, const struct addr *node, __u32 room)
{
	s->hop = *node;
	s->mtu = room;
	s->tunnelled = true;
	s->second = p->now;
}

/* As the routes have answered. */
static __always_inline void shortcut_by_route(struct pkt *p, struct shortcut *s, const struct bpf_fib_lookup *fib)
{
	if (fib->family == AF_INET6)
		addr_set_v6(&s->hop, fib->ipv6_dst);
	else
		addr_set_v4(&s->hop, fib->ipv4_dst);
	s->ifindex = fib->ifindex;
	s->mtu = (fib->mtu_result < config.mtu ? fib->mtu_result : config.mtu) - (s->told ? dsr_size(p) : 0);
	s->second = p->now;
}
