/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "source-nat.h"

/* The way back of what source-nat.h sent. */

static __always_inline bool in_nat_range(__be16 port)
{
	__u16 n = bpf_ntohs(port);

	return n >= config.nat_port_min && n <= config.nat_port_max;
}

/* The key of the mapping the packet answers, or, for an ICMP error, of the one the embedded packet (*e) left by. */
static __always_inline bool nat_answered_key(frame_t *frame, struct pkt *p, struct embedded *e,
					     struct nat_key *key)
{
	key->reply = 1;
	key->pad = 0;
	if (!(p->flags & PKT_ICMP_ERROR)) {
		key->saddr = p->saddr;
		key->daddr = p->daddr;
		key->sport = p->sport;
		key->dport = p->dport;
		key->proto = p->proto;
		return in_nat_range(key->dport);
	}
	if (!embedded_parse(frame, p, e) || !addr_equal(&e->saddr, &p->daddr))
		return false;
	key->saddr = e->daddr;
	key->daddr = e->saddr;
	key->sport = e->dport;
	key->dport = e->sport;
	key->proto = e->proto;
	return in_nat_range(key->dport);
}

/* The mapping the packet answers, or the packet that an ICMP error carries (*e); NULL: none. */
static __always_inline struct nat_entry *nat_answered(frame_t *frame, struct pkt *p, struct embedded *e)
{
	struct nat_entry *entry;
	struct nat_key key;

	if (!nat_answered_key(frame, p, e, &key))
		return NULL;
	entry = nat_find(&key);
	return entry && !expired(entry->expires_sec, p->now) ? entry : NULL;
}

/* Destination and port become the original sender's, and in an ICMP error also the embedded source. 0 or a drop reason. */
static __always_inline int nat_undo(frame_t *frame, struct pkt *p, const struct embedded *e, struct nat_entry *entry)
{
	struct peer to = { .addr = entry->addr, .port = entry->port };
	int reason;

	p->flags |= PKT_RESTORED;
	p->frontend = entry->frontend;
	if (!(p->flags & PKT_ICMP_ERROR)) {
		nat_keep(p, entry);
		return set_destination(frame, p, &to.addr, to.port);
	}
	reason = set_embedded(frame, p, e, SIDE_SOURCE, &to);
	if (!reason)
		reason = write_address(frame, p, SIDE_DESTINATION, &p->daddr, &to.addr);
	p->daddr = to.addr;
	return reason;
}

/* Undoes a translated source when the packet answers one; PKT_RESTORED says that it did. 0 or a drop reason. */
__noinline int nat_restore(frame_t *frame, struct pkt *p)
{
	struct nat_entry *entry;
	struct embedded e = {};

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	entry = nat_answered(frame, p, &e);
	return entry ? nat_undo(frame, p, &e, entry) : 0;
}

/* An ICMP error of ours about a packet that came in through a mapping shows the outside what the outside sent. */
__noinline int nat_own_error(frame_t *frame, struct pkt *p)
{
	struct nat_key key = {};
	struct nat_entry *entry;
	struct embedded e = {};
	struct peer to = {};
	int reason;

	if (!p || !embedded_parse(frame, p, &e))
		return 0;
	key.saddr = e.daddr;
	key.daddr = e.saddr;
	key.sport = e.dport;
	key.dport = e.sport;
	key.proto = e.proto;
	if (e.proto == IPPROTO_ICMP || e.proto == IPPROTO_ICMP6)
		return 0;
	entry = nat_find(&key);
	if (!entry)
		return 0;
	to.addr = entry->addr;
	to.port = entry->port;
	reason = set_embedded(frame, p, &e, SIDE_DESTINATION, &to);
	if (reason || !p->src.id)
		return reason;
	return write_address(frame, p, SIDE_SOURCE, &p->saddr, &to.addr);
}
