/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "conntrack.h"
#include "translate.h"
#include "backend.h"
#include "source-port.h"
#include "lost.h"
#include "dsr-answer.h"

static __always_inline struct lb_frontend *frontend_find(const struct pkt *p, __u8 scope)
{
	struct lb_frontend_key key = { .addr = p->daddr, .port = p->dport, .proto = p->proto, .scope = scope };

	return bpf_map_lookup_elem(&lb_frontends, &key);
}

/* The frontend as who comes from outside sees it: with the local backends alone where the service says so. */
static __always_inline struct lb_frontend *frontend_from_outside(const struct pkt *p)
{
	struct lb_frontend *f = frontend_find(p, LB_SCOPE_ANY), *local;

	if (!f || !(f->flags & LB_LOCAL_OUTSIDE))
		return f;
	local = frontend_find(p, LB_SCOPE_LOCAL);
	return local ? local : f; /* between two writes */
}

static __always_inline void service_key(const struct pkt *p, struct ct_key *key)
{
	key->low = p->saddr;
	key->high = p->daddr;
	key->low_port = p->sport;
	key->high_port = p->dport;
	key->proto = p->proto;
	key->kind = CT_SERVICE;
	key->pad = 0;
}

/*
 * The packet's connection to the frontend, if it has had a backend so far; else NULL. Sets PKT_DSR: a connection is
 * answered the way it began.
 */
static __always_inline struct ct_entry *service_connection(struct pkt *p, const struct ct_key *key,
							   const struct lb_frontend *f)
{
	struct ct_entry *known = bpf_map_lookup_elem(&conntrack, key);
	__u16 flags = f->flags & LB_DSR ? CT_DSR : 0;

	if (!known || known->frontend != f->id || expired(known->expires_sec, p->now) ||
	    ((known->flags & CT_CLOSING) && begins_tcp(p)))
		known = NULL;
	else
		flags = known->port ? 0 : known->flags; /* an answer would go to the changed port */
	p->flags |= flags & CT_DSR ? PKT_DSR : 0;
	return known;
}

/* The packet goes to the backend its connection has. One that was chosen and not sent to yet begins with it. */
static __always_inline void service_sent(struct pkt *p, struct ct_entry *known)
{
	if (!known->packets[0])
		p->flags |= PKT_NEW;
	if (p->tcp_flags & (TCP_FIN | TCP_RST))
		known->flags |= CT_CLOSING;
	known->expires_sec = p->now + ct_timeout(p, known->flags);
	known->packets[0]++;
}

static __always_inline __u32 mixed(__u32 hash, __u32 word)
{
	hash = (hash ^ word) * 0x9e3779b1; /* 2^32 / golden ratio */
	return hash ^ (hash >> 15);
}

/*
 * What tells the connection from others, wherever it comes in: NodePort's own address differs between nodes. With
 * session affinity only who asks. Never 0.
 */
static __always_inline __u32 connection_hash(const struct lb_frontend *f, const struct pkt *p)
{
	__u32 hash = mixed(p->proto, p->dport);

	hash = mixed(mixed(hash, p->saddr.words[0]), p->saddr.words[1]);
	hash = mixed(mixed(hash, p->saddr.words[2]), p->saddr.words[3]);
	if (!(f->flags & LB_AFFINITY))
		hash = mixed(hash, p->sport);
	hash = mixed(hash, 0);
	return hash ? hash : 1;
}

/* A backend for a new connection, by its id; 0: there is none. */
__noinline __u32 choose(const struct pkt *p, const struct lb_frontend *f)
{
	struct asker asker = {};
	__u32 id = 0;

	if (!p || !f)
		return 0;
	asker.client.client = p->saddr;
	asker.now = p->now;
	asker.hash = connection_hash(f, p);
	return backend_choose(f, &asker, &id) ? id : 0;
}

/* The backend of a connection that nothing is remembered of, by its id: the one it has all the same, or a new one. 0: there is none. */
static __always_inline __u32 find_or_choose(const struct pkt *p, const struct lb_frontend *f)
{
	__u32 id = p->proto == IPPROTO_TCP && !begins_tcp(p) ? lost_backend(p, f) : 0;

	return id ? id : choose(p, f);
}

/*
 * Remembers the choice for the packets to come, retransmissions and fragments. packets: 1, or 0 where another hook
 * sends this one.
 */
__noinline int service_remember(struct pkt *p, const struct ct_key *key, __u32 backend, __u32 packets)
{
	/* replies do not pass here, so the long time-outs apply at once */
	struct ct_entry entry = { .backend = backend, .flags = CT_SEEN_REPLY, .packets = { packets, 0 } };

	if (!p || !key)
		return 0;
	entry.frontend = p->frontend;
	note_backend(&entry);
	entry.flags |= p->flags & PKT_DSR ? CT_DSR : 0;
	entry.expires_sec = p->now + ct_timeout(p, entry.flags);
	bpf_map_update_elem(&conntrack, key, &entry, BPF_ANY);
	return 0;
}

/* The source port a new connection is sent with, which its entry keeps; 0: the client's own. */
static __always_inline __be16 take_source_port(frame_t *frame, struct pkt *p, const struct ct_key *key,
					       const struct lb_backend *backend)
{
	__be16 port = free_source_port(frame, p, p->frontend, backend);
	struct ct_entry *entry;

	if (!port)
		return 0;
	entry = bpf_map_lookup_elem(&conntrack, key);
	if (entry)
		entry->port = port;
	p->flags &= ~PKT_DSR;
	return port;
}

/*
 * The backend the packet goes to: the one its connection already has, if any. *port is the source port it is sent with,
 * 0: its own. NULL: there is none. *kept is room for one that the service has forgotten.
 */
static __always_inline struct lb_backend *backend_of(frame_t *frame, struct pkt *p, const struct lb_frontend *f,
						    __be16 *port, struct lb_backend *kept)
{
	struct lb_backend *backend = NULL;
	struct ct_entry *known;
	struct ct_key key;
	__u32 id;

	service_key(p, &key);
	known = service_connection(p, &key, f);
	if (known)
		backend = backend_find(known->backend);
	if (known && !backend && forgotten_backend(p, known, kept))
		backend = kept;
	if (backend) {
		service_sent(p, known);
		*port = known->port;
	} else {
		id = find_or_choose(p, f);
		backend = backend_find(id);
		if (!backend)
			return NULL;
		service_remember(p, &key, id, 1);
		p->flags |= PKT_NEW;
	}
	if (p->flags & PKT_NEW)
		*port = take_source_port(frame, p, &key, backend);
	return backend;
}

/* Sends a packet for the frontend to a backend. 0 or a drop reason. */
static __always_inline int to_backend(frame_t *frame, struct pkt *p, const struct lb_frontend *f)
{
	struct lb_backend *backend, kept = {};
	__be16 port = 0;
	int reason;

	p->frontend = f->id;
	if (!client_may_ask(f, &p->saddr))
		return DROP_DENIED_BY_LB_SRC_RANGE_CHECK;
	backend = backend_of(frame, p, f, &port, &kept);
	if (!backend)
		return f->flags & LB_ELSEWHERE ? DROP_NO_MATCHING_LOCAL_CONTAINER_FOUND : DROP_SERVICE_BACKEND_NOT_FOUND;
	p->report.flags |= EVENT_DNAT;
	reason = set_destination(frame, p, &backend->addr, backend->port);
	return reason || !port ? reason : set_source_port(frame, p, port);
}

/*
 * What a pod sends to a service the socket hook did not translate goes to a backend; all else is left as it is.
 * 0 or a drop reason.
 */
__noinline int translate_from_pod(frame_t *frame, struct pkt *p)
{
	struct lb_frontend *f;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	f = frontend_find(p, LB_SCOPE_ANY);
	if (f && (f->flags & LB_PASS_DENIED) && !client_may_ask(f, &p->saddr))
		f = frontend_find(p, LB_SCOPE_LOCAL);
	return f && !(f->flags & LB_HOST_ONLY) ? to_backend(frame, p, f) : 0;
}

/* The same for what comes from outside; PKT_NODEPORT says that it was for a frontend. 0 or a drop reason. */
__noinline int translate_from_outside(frame_t *frame, struct pkt *p)
{
	struct lb_frontend *f;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	f = frontend_from_outside(p);
	if (!f)
		return 0;
	if (!(f->flags & (LB_NODEPORT | LB_EXTERNAL)))
		return DROP_IS_A_CLUSTERIP;
	p->flags |= PKT_NODEPORT;
	return to_backend(frame, p, f);
}

/* An ICMP error about a service connection shows the frontend as the embedded packet's destination. */
static __always_inline int reverse_error(frame_t *frame, struct pkt *p, const struct peer *shown)
{
	struct embedded e = {};
	struct peer client = {};
	int reason;

	if (!embedded_parse(frame, p, &e))
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	if (p->client_port) {
		client.addr = e.saddr;
		client.port = p->client_port;
		reason = set_embedded(frame, p, &e, SIDE_SOURCE, &client);
		if (reason)
			return reason;
		e.sport = p->client_port;
	}
	if (addr_equal(&p->saddr, &e.daddr)) { /* from the backend itself */
		reason = write_address(frame, p, SIDE_SOURCE, &p->saddr, &shown->addr);
		if (reason)
			return reason;
	}
	return set_embedded(frame, p, &e, SIDE_DESTINATION, shown);
}

/* The frontend as the client knows it. 0 or a drop reason. */
static __always_inline int find_shown(frame_t *frame, struct pkt *p, struct peer *shown)
{
	struct lb_reverse_key key = { .frontend = p->frontend };
	struct lb_reverse *reverse;

	if (p->ct_flags & CT_DSR)
		return dsr_shown(frame, p, shown);
	reverse = bpf_map_lookup_elem(&lb_reverse, &key);
	if (!reverse) /* the service is gone: its connections go with it */
		return DROP_SERVICE_BACKEND_NOT_FOUND;
	shown->addr = reverse->addr;
	shown->port = reverse->port;
	return 0;
}

/* What answers a connection that went beside a service's (beside.h) gets the client's port back. 0 or a drop reason. */
static __always_inline int reverse_beside(frame_t *frame, struct pkt *p)
{
	struct embedded e = {};
	struct peer client = {};

	if (!(p->flags & PKT_RELATED))
		return set_client_port(frame, p);
	if (!embedded_parse(frame, p, &e))
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	client.addr = e.saddr;
	client.port = p->client_port;
	return set_embedded(frame, p, &e, SIDE_SOURCE, &client);
}

/* An answer of a service connection shows the frontend (p->frontend) as its source. 0 or a drop reason. */
__noinline int reverse_translate(frame_t *frame, struct pkt *p)
{
	struct peer shown = {};
	int reason;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	if (!p->frontend)
		return reverse_beside(frame, p);
	reason = find_shown(frame, p, &shown);
	if (reason)
		return reason;
	if (p->flags & PKT_RELATED)
		return reverse_error(frame, p, &shown);
	reason = p->client_port ? set_client_port(frame, p) : 0;
	return reason ? reason : show_source(frame, p, &shown.addr, shown.port);
}

static __always_inline bool needs_reverse(const struct pkt *p)
{
	return (p->flags & PKT_REPLY) && (p->frontend || p->client_port) && !(p->ct_flags & CT_SOCKET_LB);
}
