/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "dsr.h"
#include "identity.h"
#include "maps.h"
#include "nat-life.h"
#include "nat-table.h"

/*
 * The backend's node under direct server return: it remembers which frontend a client asked, and gives it to the answers
 * as their source. The frontend may be a port of another node, so its address is kept; the entry's key is the packet
 * as it arrives.
 */

/* While one connection is used, no other of the same client port takes its place. */
#define DSR_USED_SEC 60

static __always_inline void dsr_key(const struct pkt *p, struct nat_key *key)
{
	key->saddr = p->saddr;
	key->daddr = p->daddr;
	key->sport = p->sport;
	key->dport = p->dport;
	key->proto = p->proto;
	key->reply = NAT_DIRECT;
	key->pad = 0;
}

/*
 * The frontend as this node has it: the same, or, of another node's port, the port here. NULL: there is none, and who
 * says so wants answers to carry an address that is not theirs.
 */
static __always_inline struct lb_frontend *dsr_frontend(const struct pkt *p, const struct peer *told)
{
	struct lb_frontend_key key = { .addr = told->addr, .port = told->port, .proto = p->proto };
	struct lb_frontend *f = bpf_map_lookup_elem(&lb_frontends, &key);
	struct ipcache_entry *node;

	if (f)
		return f->flags & (LB_NODEPORT | LB_EXTERNAL) ? f : NULL;
	node = ipcache_lookup(&told->addr);
	if (!node || !is_remote_node(node->identity))
		return NULL;
	key.addr = node_address(p);
	f = bpf_map_lookup_elem(&lb_frontends, &key);
	return f && (f->flags & LB_NODEPORT) ? f : NULL;
}

/* A TCP connection of these ports, which was begun otherwise, has been used lately. */
static __always_inline bool dsr_meets_connection(const struct pkt *p)
{
	struct ct_entry *ct;
	struct flow f;

	if (!begins_tcp(p))
		return false;
	flow_of_packet(p, &f);
	ct = ct_lookup(&f, p->now);
	return ct && !(ct->flags & CT_CLOSING) && (ct->flags & CT_SEEN_REPLY) &&
	       (__s32)(ct->expires_sec - p->now) > CT_TIMEOUT_TCP - DSR_USED_SEC;
}

static __always_inline int dsr_remember(const struct pkt *p, const struct peer *told)
{
	__u32 until = p->now + NAT_TIMEOUT_FRESH;
	struct nat_entry *known;
	struct nat_key key;

	dsr_key(p, &key);
	known = nat_find(&key);
	if (known && addr_equal(&known->addr, &told->addr) && known->port == told->port) {
		if (begins_tcp(p))
			known->flags = 0;
		if ((__s32)(known->expires_sec - until) < 0)
			known->expires_sec = until;
		return 0;
	}
	if (dsr_meets_connection(p))
		return DROP_NO_MAPPING_FOR_NAT_MASQUERADE;
	known = nat_make(&key);
	if (!known)
		return DROP_NO_MAPPING_FOR_NAT_MASQUERADE;
	known->addr = told->addr;
	known->port = told->port;
	known->frontend = p->frontend;
	return 0;
}

/* The client ends its connection, of which only the answers are seen otherwise. */
static __always_inline void dsr_note_end(const struct pkt *p)
{
	struct nat_entry *known;
	struct nat_key key;

	dsr_key(p, &key);
	known = nat_find(&key);
	if (!known)
		return;
	nat_note_end(p, known, NAT_CLOSING);
	known->expires_sec = p->now + (nat_closed(known) ? NAT_TIMEOUT_CLOSED : NAT_TIMEOUT_FRESH);
}

/* A connection to the backend itself begins while one by a frontend is used: the answers could be either's. */
static __always_inline bool dsr_is_used(const struct pkt *p)
{
	struct nat_key key;

	if (!begins_tcp(p))
		return false;
	dsr_key(p, &key);
	return nat_find(&key) && dsr_meets_connection(p);
}

/* For which frontend answers are: the one the client was told of. 0 or a drop reason. */
static __always_inline int dsr_told(struct pkt *p, const struct peer *told)
{
	struct lb_frontend *frontend = dsr_frontend(p, told);

	if (!frontend)
		return DROP_SNAT_NO_MAP_FOUND;
	p->frontend = frontend->id;
	p->flags |= PKT_NODEPORT | PKT_DIRECT;
	return dsr_remember(p, told);
}

/*
 * For what comes to a pod or process of this node: remembers the frontend, if it was sent to one, and sets PKT_DIRECT.
 * 0 or a drop reason.
 */
__noinline int dsr_arrive(frame_t *frame, struct pkt *p)
{
	struct peer told = {};

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	if (!is_port_protocol(p->proto))
		return 0;
	if (!dsr_read(frame, p, &told)) {
		if (p->tcp_flags & (TCP_FIN | TCP_RST))
			dsr_note_end(p);
		return dsr_is_used(p) ? DROP_NO_MAPPING_FOR_NAT_MASQUERADE : 0;
	}
	return dsr_told(p, &told);
}

/* Beside each other the stack has no room for them. */
union answered {
	struct nat_key key;
	struct embedded about; /* what an ICMP error carries */
};

/* The key of what the answer, or the ICMP error, is about. */
static __always_inline bool dsr_answered_key(frame_t *frame, struct pkt *p, union answered *of)
{
	struct nat_key *key = &of->key;
	__u8 proto = p->proto;
	__be16 sport, dport;

	if (p->flags & PKT_RELATED) {
		if (!embedded_parse(frame, p, &of->about))
			return false;
		proto = of->about.proto;
		sport = of->about.sport;
		dport = of->about.dport;
	} else {
		key->saddr = p->daddr;
		key->daddr = p->saddr;
		sport = p->dport;
		dport = p->sport;
	}
	key->sport = sport;
	key->dport = dport;
	key->proto = proto;
	key->reply = NAT_DIRECT;
	key->pad = 0;
	return true;
}

_Static_assert(offsetof(struct embedded, saddr) == offsetof(struct nat_key, saddr) &&
		       offsetof(struct embedded, daddr) == offsetof(struct nat_key, daddr),
	       "addresses stay where they are");

/* The frontend that answers a connection of CT_DSR. 0 or a drop reason. */
__noinline int dsr_shown(frame_t *frame, struct pkt *p, struct peer *shown)
{
	struct nat_entry *entry;
	union answered of = {};

	if (!p || !shown || !dsr_answered_key(frame, p, &of))
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	entry = nat_find(&of.key);
	if (!entry)
		return DROP_SNAT_NO_MAP_FOUND;
	if (!(p->flags & PKT_RELATED))
		nat_keep(p, entry);
	shown->addr = entry->addr;
	shown->port = entry->port;
	return 0;
}
