/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "conntrack.h"
#include "backend.h"
#include "identity.h"
#include "nat-table.h"

/*
 * The entry that remembers a connection's backend may be lost: the map holds so many, and the one not used for longest
 * goes. The connection's other traces tell: on this node the flow to its backend, for another node's the mapping its
 * answers come back by.
 */
#define LOST_LOOKS 64 /* slots: who sends what was never a connection costs no more than these */

struct lost_search {
	const struct pkt *p;
	struct nat_entry *sent; /* how the client's packets leave; NULL: they don't */
	__u32 frontend;
	__u32 backend; /* found; 0: not so far */
};

/* Beside each other the stack has no room for them. */
union lost_key {
	struct flow flow;
	struct nat_key answer;
};

static __always_inline bool lost_mapping(const struct lost_search *s, const struct lb_backend *backend, struct nat_key *key)
{
	struct nat_entry *found;

	key->saddr = backend->addr;
	key->daddr = s->sent->addr;
	key->sport = backend->port;
	key->dport = s->sent->port;
	key->proto = s->p->proto;
	key->reply = NAT_REPLY;
	key->pad = 0;
	found = nat_find(key);
	return found && found->frontend == s->frontend && found->port == s->p->sport && addr_equal(&found->addr, &s->p->saddr);
}

static long lost_search_step(__u32 index, struct lost_search *s)
{
	__u32 id = backend_in_slot(s->frontend, index + 1);
	struct lb_backend *backend = backend_find(id);
	union lost_key key = {};
	struct ct_entry *ct;

	if (!backend)
		return 0;
	flow_to(s->p, &s->p->saddr, s->p->sport, backend, &key.flow);
	ct = ct_lookup(&key.flow, s->p->now);
	if (!(ct && ct->frontend == s->frontend) && !(s->sent && lost_mapping(s, backend, &key.answer)))
		return 0;
	s->backend = id;
	return 1;
}

/* The backend of a connection that goes on without being remembered; 0: none is known of. */
__noinline __u32 lost_backend(const struct pkt *p, const struct lb_frontend *f)
{
	struct lost_search search = {};
	struct nat_key sent = {};

	if (!p || !f)
		return 0;
	sent.saddr = p->saddr;
	sent.daddr = p->daddr;
	sent.sport = p->sport;
	sent.dport = p->dport;
	sent.proto = p->proto;
	search.p = p;
	search.frontend = f->id;
	search.sent = nat_find(&sent);
	bpf_loop(f->count < LOST_LOOKS ? f->count : LOST_LOOKS, lost_search_step, &search, 0);
	return search.backend;
}

_Static_assert(sizeof(((struct ct_entry *)0)->bytes) == sizeof(struct addr), "the address stands where bytes are counted otherwise");

_Static_assert(sizeof(struct lb_backend_key) == sizeof(((struct ct_entry *)0)->backend), "a backend's key is its number");

/* Notes where the connection's backend is, for the time when the service has forgotten it. */
static __always_inline void note_backend(struct ct_entry *entry)
{
	struct lb_backend *backend = bpf_map_lookup_elem(&lb_backends, &entry->backend); /* the stack has no room for a copy */

	if (!backend)
		return;
	__builtin_memcpy(entry->bytes, &backend->addr, sizeof(backend->addr));
	entry->backend_port = backend->port;
}

/*
 * A TCP connection goes on with a backend that the service has forgotten, as long as a pod or node of the cluster has its
 * address: whoever is there now knows the connection or resets it.
 */
__noinline int forgotten_backend(const struct pkt *p, const struct ct_entry *known, struct lb_backend *backend)
{
	__u32 identity;

	if (!p || !known || !backend || p->proto != IPPROTO_TCP || begins_tcp(p) || !known->backend_port)
		return false;
	__builtin_memcpy(&backend->addr, known->bytes, sizeof(backend->addr));
	backend->port = known->backend_port;
	if (endpoint_by_addr(&backend->addr))
		return true;
	identity = identity_of(p, ipcache_lookup(&backend->addr));
	return is_pod_identity(identity) || is_remote_node(identity) || identity == IDENTITY_HOST;
}
