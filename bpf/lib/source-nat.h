/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "conntrack.h"
#include "translate.h"
#include "nat-life.h"
#include "nat-table.h"
#include "socket-tuple.h"

/* Gives packets a source of the node's own: masquerade of pods, and NodePort connections to other nodes' pods. */

#define NAT_TRIES 32
#define NAT_ROOMY_TRIES 3 /* ports asked first that lead to a set with room: each is a line of memory that no cache holds */

/* How the packet was sent: the key of its mapping. */
static __always_inline void nat_sent_key(const struct pkt *p, struct nat_key *key)
{
	key->saddr = p->saddr;
	key->daddr = p->daddr;
	key->sport = p->sport;
	key->dport = p->dport;
	key->proto = p->proto;
	key->reply = 0;
	key->pad = 0;
}

/* How the answer to the packet comes when it leaves with this source. An echo's answer has the id on both sides. */
static __always_inline void nat_answer_key(const struct pkt *p, const struct addr *source, __be16 port,
					   struct nat_key *key)
{
	key->saddr = p->daddr;
	key->daddr = *source;
	key->sport = p->flags & PKT_ICMP_ECHO ? port : p->dport;
	key->dport = port;
	key->proto = p->proto;
	key->reply = 1;
	key->pad = 0;
}

static __always_inline void nat_set_port(const struct pkt *p, struct nat_key *key, __be16 port)
{
	key->dport = port;
	if (p->flags & PKT_ICMP_ECHO)
		key->sport = port;
}

/*
 * Whether answers by this key are for a socket of the node itself: one older than the reservation of the ports, or one
 * that asked for its port.
 */
__noinline int nat_meets_socket(frame_t *frame, const struct nat_key *key)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;
	__u32 size;

	if (!key || !is_port_protocol(key->proto))
		return false;
	size = tuple_of_ends(&tuple, key);
	if (key->proto == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(frame, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_udp(frame, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

/*
 * Takes a free port for the answers' key (key->dport): the mapping, for the caller to fill. When all that were tried are in
 * use, a new TCP connection takes the port of the one that has been closed for longest: as with two connections of one
 * client, the backend tells old from new by sequence numbers and timestamps (RFC 6191). The first port tried is the one
 * by which both mappings of the flow are in one set, which is in the cache by then; the seed makes it chance to others.
 * The next ones lead to the sets behind it: when that one has no room for both, then when it has none at all, and no
 * longer than NAT_ROOMY_TRIES, for where new flows come faster than old ones end there is room in none. NULL: there is
 * no port.
 */
static __always_inline struct nat_entry *nat_take_port(frame_t *frame, struct pkt *p, struct nat_key *key,
						       const struct nat_key *sent)
{
	__u32 count = config.nat_port_max - config.nat_port_min + 1;
	__u32 start = p->flags & PKT_ICMP_ECHO ? count : nat_port_to(key, sent);
	struct nat_entry *taken, *made;
	__u32 closed_until = 0;
	__be16 closed = 0;
	__u32 i, step;

	if (start >= count)
		start = bpf_get_prandom_u32() % count;
	for (i = 0; i < NAT_ROOMY_TRIES + NAT_TRIES; i++) {
		step = i < NAT_ROOMY_TRIES ? i : i - NAT_ROOMY_TRIES;
		nat_set_port(p, key, bpf_htons(config.nat_port_min + (start + step) % count));
		if (i < NAT_ROOMY_TRIES && !nat_has_room(key))
			continue;
		taken = nat_find(key);
		if (taken && !expired(taken->expires_sec, p->now)) {
			if (begins_tcp(p) && nat_closed(taken) &&
			    (!closed || (__s32)(taken->expires_sec - closed_until) < 0)) {
				closed = key->dport;
				closed_until = taken->expires_sec;
			}
			continue;
		}
		if (nat_meets_socket(frame, key))
			continue;
		made = nat_make_answer(key, i < 2 * NAT_ROOMY_TRIES ? 0 : NAT_EVICTS);
		if (made)
			return made;
	}
	nat_set_port(p, key, closed);
	return closed ? nat_make_answer(key, NAT_REPLACES | NAT_EVICTS) : NULL;
}

static __always_inline void nat_fill_answer(const struct pkt *p, struct nat_entry *answer, const struct nat_key *sent)
{
	answer->addr = sent->saddr;
	answer->port = sent->sport;
	answer->frontend = p->frontend;
}

/* A new mapping for `sent`; *port is the source port it leaves with. 0 or a drop reason. */
static __always_inline int nat_allocate(frame_t *frame, struct pkt *p, const struct nat_key *sent,
					const struct addr *source, __be16 *port)
{
	struct nat_entry *made;
	struct nat_key key;

	if (!is_port_protocol(p->proto) && !(p->flags & PKT_ICMP_ECHO))
		return DROP_UNSUPPORTED_PROTOCOL_FOR_NAT_MASQUERADE;
	nat_answer_key(p, source, 0, &key);
	made = nat_take_port(frame, p, &key, sent);
	if (!made)
		return DROP_NO_MAPPING_FOR_NAT_MASQUERADE;
	nat_fill_answer(p, made, sent);
	*port = key.dport;
	made = nat_make(sent);
	if (!made)
		return DROP_NO_MAPPING_FOR_NAT_MASQUERADE;
	made->addr = *source;
	made->port = *port;
	made->frontend = p->frontend;
	made->expires_sec = p->now + NAT_REFRESH;
	return 0;
}

/*
 * Keeps the answers' entry alive while the sender sends, and true: the service may be another one by now, made anew in
 * the old one's place. False: the port is lost to another flow.
 */
static __always_inline bool nat_refresh(struct pkt *p, const struct nat_key *sent, struct nat_entry *known)
{
	__u32 until = p->now + NAT_TIMEOUT_FRESH;
	struct nat_entry *answer;
	struct nat_key key;

	nat_answer_key(p, &known->addr, known->port, &key);
	known->expires_sec = p->now + NAT_REFRESH;
	answer = nat_find(&key);
	if (!answer) {
		answer = nat_make_answer(&key, NAT_EVICTS);
		if (answer)
			nat_fill_answer(p, answer, sent);
		return answer;
	}
	if (!addr_equal(&answer->addr, &sent->saddr) || answer->port != sent->sport)
		return false;
	answer->frontend = p->frontend;
	if (p->tcp_flags & (TCP_FIN | TCP_RST)) {
		nat_note_end(p, known, NAT_CLOSING);
		nat_note_end(p, answer, NAT_CLOSING);
		answer->expires_sec = nat_closed(answer) ? p->now + NAT_TIMEOUT_CLOSED : until;
	} else if (begins_tcp(p)) {
		known->flags = 0;
		answer->flags &= ~(NAT_CLOSING | NAT_CLOSING_BACK);
	}
	if (!nat_closed(answer) && (__s32)(answer->expires_sec - until) < 0)
		answer->expires_sec = until;
	return true;
}

/* A service's new backend (PKT_NEW) answers from another address: its answers need an entry of their own. */
static __always_inline bool nat_needs_refresh(const struct pkt *p, const struct nat_entry *known)
{
	return expired(known->expires_sec, p->now) || (p->tcp_flags & (TCP_FIN | TCP_RST | TCP_SYN)) ||
	       (p->flags & PKT_NEW);
}

/*
 * Sends the packet, sent as `sent`, with another source address and a port of the node's own range. 0 or a drop
 * reason.
 */
__noinline int nat_source(frame_t *frame, struct pkt *p, const struct nat_key *sent, const struct addr *source)
{
	struct nat_entry *known;
	__be16 port = 0;
	int reason;

	if (!p || !sent || !source)
		return DROP_INVALID_PACKET_DROPPED;
	known = nat_find(sent);
	if (known && !(known->port && addr_equal(&known->addr, source)))
		known = NULL;
	if (known) /* before another mapping may take its place */
		port = known->port;
	if (known && nat_needs_refresh(p, known) && !nat_refresh(p, sent, known)) {
		known->port = 0; /* should its successor lie in another set */
		known = NULL;
	}
	if (!known) {
		reason = nat_allocate(frame, p, sent, source, &port);
		if (reason)
			return reason;
		if (!p->src.id) /* conntrack knows nothing of it here */
			p->flags |= PKT_NEW | PKT_REPORT;
	}
	p->report.flags |= EVENT_SNAT;
	return show_source(frame, p, source, port);
}
