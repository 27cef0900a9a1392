/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "conntrack.h"
#include "translate.h"
#include "backend.h"
#include "hairpin-alias.h"
#include "identity.h"
#include "nat-table.h"

/*
 * ICMP errors from a client's side, about what a service answered: a router says that the answer is too big for the way to the
 * client, the client that nobody listens any more. They name the frontend, which has sent nothing; the backend has, and is
 * told in its own terms.
 */

/* Beside each other the stack has no room for them. */
union asked_key {
	struct ct_key connection;
	struct nat_key sent;
};

/* How the client had sent what *e answers. */
static __always_inline void asked_connection(const struct embedded *e, struct ct_key *key)
{
	key->low = e->daddr;
	key->high = e->saddr;
	key->low_port = e->dport;
	key->high_port = e->sport;
	key->proto = e->proto;
	key->kind = CT_SERVICE;
	key->pad = 0;
}

_Static_assert(offsetof(struct ct_key, high_port) == offsetof(struct nat_key, dport) &&
		       offsetof(struct ct_key, kind) == offsetof(struct nat_key, reply) &&
		       sizeof(struct ct_key) == sizeof(struct nat_key),
	       "a connection as it was sent and its mapping differ in one byte");

/* Whom the backend takes for its client, and *hidden: that is not who it is, so this node's address is the error's source. */
static __always_inline void client_of_backend(const struct pkt *p, const struct embedded *e, const struct ct_entry *known,
					      const struct lb_backend *backend, union asked_key *key, struct peer *client,
					      bool *hidden)
{
	struct nat_entry *mapping;

	client->addr = e->daddr;
	client->port = known->port ? known->port : e->dport;
	*hidden = false;
	if (addr_equal(&backend->addr, &e->daddr)) {
		client->addr = hairpin_alias(p);
		return;
	}
	if (((known->flags & CT_DSR) && !known->port) || endpoint_by_addr(&backend->addr))
		return;
	key->sent.reply = NAT_SENT;
	mapping = nat_find(&key->sent);
	if (!mapping)
		return;
	client->addr = mapping->addr;
	client->port = mapping->port;
	*hidden = true;
}

/* A pod is nobody's router: it has errors about what came to itself alone. */
static __always_inline bool may_report(const struct pkt *p, const struct embedded *e)
{
	return !p->src.id || (p->src.flags & ENDPOINT_NO_SOURCE_CHECK) || addr_equal(&e->daddr, &p->saddr);
}

/* The error goes to the backend (p->frontend: of this service), if it is about an answer of one. 0 or a drop reason. */
__noinline int error_to_backend(frame_t *frame, struct pkt *p)
{
	struct lb_backend *backend;
	struct ct_entry *known;
	union asked_key key = {};
	struct embedded e = {};
	struct peer peer = {};
	bool hidden;
	int reason;

	if (!p || !embedded_parse(frame, p, &e) || !is_port_protocol(e.proto) || !addr_equal(&e.saddr, &p->daddr) ||
	    !may_report(p, &e))
		return 0;
	asked_connection(&e, &key.connection);
	known = bpf_map_lookup_elem(&conntrack, &key.connection);
	if (!known || expired(known->expires_sec, p->now))
		return 0;
	backend = backend_find(known->backend);
	if (!backend)
		return 0;
	p->frontend = known->frontend;
	p->flags |= PKT_REPORT;
	p->report.flags |= EVENT_DNAT;
	client_of_backend(p, &e, known, backend, &key, &peer, &hidden);
	reason = set_embedded(frame, p, &e, SIDE_DESTINATION, &peer);
	if (!reason && hidden)
		reason = write_address(frame, p, SIDE_SOURCE, &p->saddr, &peer.addr);
	if (reason)
		return reason;
	e.dport = peer.port;
	peer.addr = backend->addr;
	peer.port = backend->port;
	reason = set_embedded(frame, p, &e, SIDE_SOURCE, &peer);
	if (!reason)
		reason = write_address(frame, p, SIDE_DESTINATION, &p->daddr, &peer.addr);
	p->daddr = peer.addr;
	return reason;
}
