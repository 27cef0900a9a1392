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
static __always_inline bool nat_answered_key(struct __sk_buff *skb, struct pkt *p, struct embedded *e,
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
	if (!embedded_parse(skb, p, e) || !addr_equal(&e->saddr, &p->daddr))
		return false;
	key->saddr = e->daddr;
	key->daddr = e->saddr;
	key->sport = e->dport;
	key->dport = e->sport;
	key->proto = e->proto;
	return in_nat_range(key->dport);
}

static __always_inline void nat_keep(const struct pkt *p, struct nat_entry *entry)
{
	__u32 timeout = p->proto == IPPROTO_TCP ? NAT_TIMEOUT_TCP : NAT_TIMEOUT_DATAGRAM;

	nat_note_end(p, entry, NAT_CLOSING_BACK);
	if (entry->flags & (NAT_CLOSING | NAT_CLOSING_BACK))
		timeout = nat_closed(entry) ? NAT_TIMEOUT_CLOSED : NAT_TIMEOUT_FRESH;
	if (entry->expires_sec != p->now + timeout)
		entry->expires_sec = p->now + timeout;
}

/*
 * Undoes a translated source when the packet answers one: destination and port become the original sender's, and in
 * an ICMP error also the embedded source. PKT_RESTORED says that it did. 0 or a drop reason.
 */
__noinline int nat_restore(struct __sk_buff *skb, struct pkt *p)
{
	struct nat_entry *entry;
	struct embedded e = {};
	struct peer to = {};
	struct nat_key key;
	int reason;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	if (!nat_answered_key(skb, p, &e, &key))
		return 0;
	entry = bpf_map_lookup_elem(&nat, &key);
	if (!entry || expired(entry->expires_sec, p->now))
		return 0;
	p->flags |= PKT_RESTORED;
	p->frontend = entry->frontend;
	to.addr = entry->addr;
	to.port = entry->port;
	if (!(p->flags & PKT_ICMP_ERROR)) {
		nat_keep(p, entry);
		return set_destination(skb, p, &to.addr, to.port);
	}
	reason = set_embedded(skb, p, &e, SIDE_SOURCE, &to);
	if (!reason)
		reason = write_address(skb, p, SIDE_DESTINATION, &p->daddr, &to.addr);
	p->daddr = to.addr;
	return reason;
}

/* An ICMP error of ours about a packet that came in through a mapping shows the outside what the outside sent. */
__noinline int nat_own_error(struct __sk_buff *skb, struct pkt *p)
{
	struct nat_key key = {};
	struct nat_entry *entry;
	struct embedded e = {};
	struct peer to = {};
	int reason;

	if (!p || !embedded_parse(skb, p, &e))
		return 0;
	key.saddr = e.daddr;
	key.daddr = e.saddr;
	key.sport = e.dport;
	key.dport = e.sport;
	key.proto = e.proto;
	if (e.proto == IPPROTO_ICMP || e.proto == IPPROTO_ICMP6)
		return 0;
	entry = bpf_map_lookup_elem(&nat, &key);
	if (!entry)
		return 0;
	to.addr = entry->addr;
	to.port = entry->port;
	reason = set_embedded(skb, p, &e, SIDE_DESTINATION, &to);
	if (reason || !p->src.id)
		return reason;
	return write_address(skb, p, SIDE_SOURCE, &p->saddr, &to.addr);
}
