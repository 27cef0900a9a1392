/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "conntrack.h"
#include "translate.h"
#include "lb.h"

static __always_inline struct lb_frontend *frontend_find(const struct addr *addr, __be16 port, __u8 proto)
{
	struct lb_frontend_key key = { .addr = *addr, .port = port, .proto = proto, .scope = LB_SCOPE_ANY };

	return bpf_map_lookup_elem(&lb_frontends, &key);
}

static __always_inline struct lb_backend *backend_find(__u32 id)
{
	struct lb_backend_key key = { .id = id };

	return bpf_map_lookup_elem(&lb_backends, &key);
}

/* A random backend; *id names it. NULL: the service has none. */
static __always_inline struct lb_backend *backend_choose(const struct lb_frontend *f, __u32 *id)
{
	struct lb_slot_key key = { .frontend = f->id };
	struct lb_slot *slot;

	if (!f->count)
		return NULL;
	key.slot = 1 + bpf_get_prandom_u32() % f->count;
	slot = bpf_map_lookup_elem(&lb_slots, &key);
	if (!slot)
		return NULL;
	*id = slot->backend;
	return backend_find(*id);
}

/*
 * Sends the packet to a backend, the one its connection already has if there is one. What the entry under the
 * frontend's own tuple is for: packets to come, retransmissions and fragments find the same backend. 0 or a drop reason.
 */
static __noinline int translate_service(struct pkt *p, struct lb_frontend *f)
{
	struct ct_key key = {
		.low = p->saddr, .high = p->daddr, .low_port = p->sport, .high_port = p->dport,
		.proto = p->proto, .kind = CT_SERVICE,
	};
	struct ct_entry *known = bpf_map_lookup_elem(&conntrack, &key);
	struct ct_entry entry = { .frontend = f->id };
	struct lb_backend *backend = NULL;

	if (known && known->frontend == f->id && !expired(known->expires_sec, p->now) &&
	    !((known->flags & CT_CLOSING) && begins_tcp(p)))
		backend = backend_find(known->backend);
	if (backend) {
		known->expires_sec = p->now + ct_timeout(p, known->flags);
		if (p->tcp_flags & (TCP_FIN | TCP_RST))
			known->flags |= CT_CLOSING;
		known->packets[0]++;
	} else {
		backend = backend_choose(f, &entry.backend);
		if (!backend)
			return DROP_SERVICE_BACKEND_NOT_FOUND;
		entry.flags = CT_SEEN_REPLY; /* replies do not pass here: the long time-outs apply at once */
		entry.packets[0] = 1;
		entry.expires_sec = p->now + ct_timeout(p, entry.flags);
		if (bpf_map_update_elem(&conntrack, &key, &entry, BPF_ANY) < 0)
			return DROP_CT_MAP_INSERTION_FAILED;
		p->flags |= PKT_NEW;
	}
	p->frontend = f->id;
	p->event_flags |= EVENT_DNAT;
	return set_destination(p, &backend->addr, backend->port);
}

/*
 * An answer of a service connection shows the frontend as its source; an ICMP error about one shows the frontend as
 * the embedded packet's destination. 0 or a drop reason.
 */
static __noinline int reverse_translate(struct pkt *p)
{
	struct lb_reverse_key key = { .frontend = p->frontend };
	struct lb_reverse *shown = bpf_map_lookup_elem(&lb_reverse, &key);
	struct nat_entry to = {};
	struct embedded e;
	int reason;

	if (!shown) /* the service is gone: the connection goes with it */
		return DROP_SERVICE_BACKEND_NOT_FOUND;
	if (!(p->flags & PKT_RELATED))
		return show_source(p, &shown->addr, shown->port);
	if (!embedded_parse(p, &e))
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	to.addr = shown->addr;
	to.port = shown->port;
	if (addr_equal(&p->saddr, &e.daddr)) {
		reason = write_address(p, SIDE_SOURCE, &p->saddr, &to.addr);
		if (reason)
			return reason;
	}
	return set_embedded(p, &e, SIDE_DESTINATION, &to);
}

static __always_inline bool needs_reverse(const struct pkt *p)
{
	return (p->flags & PKT_REPLY) && p->frontend && p->ct && !(p->ct->flags & CT_SOCKET_LB);
}
