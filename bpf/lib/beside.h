/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "conntrack.h"
#include "service.h"

/*
 * A client's connection to a backend itself, while one by a service goes from the same port to the same backend: it gets a
 * source port of its own (source-port.h), which is remembered like a service's. As long as it lasts the other's entry does
 * too, by which its packets find the way here: everybody else's cost nothing.
 */

#define MEETS_SERVICE -1 /* in place of a drop reason */

static __always_inline bool meets_service(const struct pkt *p, const struct ct_entry *ct)
{
	return ct->frontend && !p->frontend && is_port_protocol(p->proto) && !(p->flags & (PKT_REPLY | PKT_BESIDE)) &&
	       !(ct->flags & (CT_SOCKET_LB | CT_DSR | CT_HAIRPIN));
}

/* Sends the packet from its connection's port; it has none of its own where the service is no more. 0 or a drop reason. */
__noinline int go_beside(frame_t *frame, struct pkt *p)
{
	struct lb_backend to = {};
	struct ct_entry *known;
	struct ct_key key;
	__be16 port;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	p->flags |= PKT_BESIDE;
	service_key(p, &key);
	known = bpf_map_lookup_elem(&conntrack, &key);
	if (known && !known->frontend && known->port && !expired(known->expires_sec, p->now)) {
		known->expires_sec = p->now + ct_timeout(p, known->flags);
		return set_source_port(frame, p, known->port);
	}
	to.addr = p->daddr;
	to.port = p->dport;
	port = free_source_port(frame, p, 0, &to);
	if (!port)
		return 0;
	service_remember(p, &key, 0, 1);
	known = bpf_map_lookup_elem(&conntrack, &key);
	if (known)
		known->port = port;
	return set_source_port(frame, p, port);
}

/* The service connection's entry is kept for as long as the other. */
static __always_inline void keep_beside(const struct pkt *p, struct ct_entry *ct)
{
	__u32 until = p->now + ct_timeout(p, CT_SEEN_REPLY);

	if ((__s32)(ct->expires_sec - until) < 0)
		ct->expires_sec = until;
}
