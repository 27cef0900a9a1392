/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "admit.h"
#include "translate.h"
#include "backend.h"

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

/* The backend the packet's connection has had so far, or NULL. */
static __always_inline struct lb_backend *backend_known(const struct pkt *p, const struct ct_key *key, __u32 frontend)
{
	struct ct_entry *known = bpf_map_lookup_elem(&conntrack, key);
	struct lb_backend *backend;

	if (!known || known->frontend != frontend || expired(known->expires_sec, p->now) ||
	    ((known->flags & CT_CLOSING) && begins_tcp(p)))
		return NULL;
	backend = backend_find(known->backend);
	if (!backend)
		return NULL;
	if (p->tcp_flags & (TCP_FIN | TCP_RST))
		known->flags |= CT_CLOSING;
	known->expires_sec = p->now + ct_timeout(p, known->flags);
	known->packets[0]++;
	return backend;
}

/* Chooses a backend and remembers it for the packets to come, retransmissions and fragments. NULL: there is none. */
static __always_inline struct lb_backend *backend_new(struct pkt *p, const struct ct_key *key,
						      const struct lb_frontend *f)
{
	/* replies do not pass here, so the long time-outs apply at once */
	struct ct_entry entry = { .frontend = f->id, .flags = CT_SEEN_REPLY, .packets = { 1, 0 } };
	struct lb_backend *backend = backend_choose(f, &p->saddr, p->now, &entry.backend);

	if (!backend)
		return NULL;
	entry.expires_sec = p->now + ct_timeout(p, entry.flags);
	bpf_map_update_elem(&conntrack, key, &entry, BPF_ANY);
	p->flags |= PKT_NEW;
	return backend;
}

/* Sends a packet for the frontend to a backend: the one its connection already has, if any. 0 or a drop reason. */
static __always_inline int to_backend(struct __sk_buff *skb, struct pkt *p, const struct lb_frontend *f)
{
	struct ct_key key = {
		.low = p->saddr, .high = p->daddr, .low_port = p->sport, .high_port = p->dport,
		.proto = p->proto, .kind = CT_SERVICE,
	};
	struct lb_backend *backend = backend_known(p, &key, f->id);
	struct addr addr;

	p->frontend = f->id;
	if (!client_may_ask(f, &p->saddr))
		return DROP_DENIED_BY_LB_SRC_RANGE_CHECK;
	if (!backend)
		backend = backend_new(p, &key, f);
	if (!backend)
		return f->flags & LB_ELSEWHERE ? DROP_NO_MATCHING_LOCAL_CONTAINER_FOUND : DROP_SERVICE_BACKEND_NOT_FOUND;
	p->report.flags |= EVENT_DNAT;
	addr = backend->addr;
	return set_destination(skb, p, &addr, backend->port);
}

/*
 * What a pod sends to a service the socket hook did not translate goes to a backend; all else is left as it is.
 * 0 or a drop reason.
 */
__noinline int translate_from_pod(struct __sk_buff *skb, struct pkt *p)
{
	struct lb_frontend *f;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	f = frontend_find(p, LB_SCOPE_ANY);
	return f && !(f->flags & LB_HOST_ONLY) ? to_backend(skb, p, f) : 0;
}

/* The same for what comes from outside; PKT_NODEPORT says that it was for a frontend. 0 or a drop reason. */
__noinline int translate_from_outside(struct __sk_buff *skb, struct pkt *p)
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
	return to_backend(skb, p, f);
}

/* An ICMP error about a service connection shows the frontend as the embedded packet's destination. */
static __always_inline int reverse_error(struct __sk_buff *skb, struct pkt *p, const struct peer *shown)
{
	struct embedded e = {};
	int reason;

	if (!embedded_parse(skb, p, &e))
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	if (addr_equal(&p->saddr, &e.daddr)) { /* from the backend itself */
		reason = write_address(skb, p, SIDE_SOURCE, &p->saddr, &shown->addr);
		if (reason)
			return reason;
	}
	return set_embedded(skb, p, &e, SIDE_DESTINATION, shown);
}

/* An answer of a service connection shows the frontend (p->frontend) as its source. 0 or a drop reason. */
__noinline int reverse_translate(struct __sk_buff *skb, struct pkt *p)
{
	struct lb_reverse_key key = {};
	struct lb_reverse *reverse;
	struct peer shown = {};

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	key.frontend = p->frontend;
	reverse = bpf_map_lookup_elem(&lb_reverse, &key);
	if (!reverse) /* the service is gone: its connections go with it */
		return DROP_SERVICE_BACKEND_NOT_FOUND;
	shown.addr = reverse->addr;
	shown.port = reverse->port;
	if (p->flags & PKT_RELATED)
		return reverse_error(skb, p, &shown);
	return show_source(skb, p, &shown.addr, shown.port);
}

static __always_inline bool needs_reverse(const struct pkt *p)
{
	return (p->flags & PKT_REPLY) && p->frontend && !(p->ct_flags & CT_SOCKET_LB);
}

/* Conntrack, policy, and the frontend's address on what answers a service connection. 0 or a drop reason. */
static __always_inline int admit_and_reverse(struct __sk_buff *skb, struct pkt *p)
{
	int reason = admit(skb, p);

	return reason || !needs_reverse(p) ? reason : reverse_translate(skb, p);
}
