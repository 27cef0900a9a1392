/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "conntrack.h"
#include "hairpin-alias.h"
#include "translate.h"
#include "identity.h"
#include "socket-tuple.h"

/*
 * One client port may ask two services at once, which lead it to one backend, or a service and that backend itself. To the
 * backend that would be one connection, and its answers could be either's; so the second gets another source port on the
 * way. The connection's entry keeps the client's own, which answers get back.
 */
#define SOURCE_PORT_TRIES 8

/* Whether what the address sends from the port to the backend is a living connection, but for the frontend's own (0: nobody's). */
static __always_inline bool source_port_is_taken(const struct pkt *p, const struct addr *from, __be16 port,
						 const struct lb_backend *backend, __u32 frontend)
{
	struct ct_entry *ct;
	struct flow f;

	flow_to(p, from, port, backend, &f);
	ct = ct_lookup(&f, p->now);
	if (!ct || (frontend && ct->frontend == frontend) || ((ct->flags & CT_CLOSING) && begins_tcp(p)))
		return false;
	return !ct->frontend || bpf_map_lookup_elem(&lb_reverse, &ct->frontend); /* of a service made anew: the same one */
}

/* The client's port has a connection to a process of the node itself, which nobody notes who judges no packets of the node's. */
__noinline int process_has_connection(frame_t *frame, const struct pkt *p, const struct lb_backend *backend)
{
	struct bpf_sock_tuple tuple = {};
	struct nat_key ends = {};
	__u32 size;

	if (!p || !backend)
		return false;
	ends.saddr = p->saddr;
	ends.daddr = backend->addr;
	ends.sport = p->sport;
	ends.dport = backend->port;
	size = tuple_of_ends(&tuple, &ends);
	return tcp_socket_at(frame, &tuple, size) == SOCKET_OPEN;
}

static __always_inline bool meets_process(frame_t *frame, const struct pkt *p, const struct lb_backend *backend)
{
	struct addr node = node_address(p);

	return begins_tcp(p) && addr_equal(&backend->addr, &node) && process_has_connection(frame, p, backend);
}

/* The source port for a new connection to the backend; 0: the client's own does, or there is no other. */
__noinline int free_source_port(frame_t *frame, const struct pkt *p, __u32 frontend, const struct lb_backend *backend)
{
	__u32 count = config.nat_port_max - config.nat_port_min + 1, start, i;
	struct addr from;
	__be16 port;

	if (!p || !backend || (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP))
		return 0;
	from = p->saddr;
	if (addr_equal(&from, &backend->addr)) /* as its connection will know it: hairpin.h */
		from = hairpin_alias(p);
	if (!source_port_is_taken(p, &from, p->sport, backend, frontend) && !meets_process(frame, p, backend))
		return 0;
	start = bpf_get_prandom_u32();
	for (i = 0; i < SOURCE_PORT_TRIES; i++) {
		port = bpf_htons(config.nat_port_min + (start + i) % count);
		if (!source_port_is_taken(p, &from, port, backend, 0))
			return port;
	}
	return 0;
}

/* Sends the packet from another port of its sender's. 0 or a drop reason. */
static __always_inline int set_source_port(frame_t *frame, struct pkt *p, __be16 port)
{
	int reason = write_port(frame, p, SIDE_SOURCE, p->sport, port);

	p->client_port = p->sport;
	p->sport = port;
	return reason;
}

/* An answer goes to the port the client asked from; p->client_port is the one that the backend knows then. 0 or a drop reason. */
static __always_inline int set_client_port(frame_t *frame, struct pkt *p)
{
	__be16 known = p->dport;
	int reason = write_port(frame, p, SIDE_DESTINATION, known, p->client_port);

	p->dport = p->client_port;
	p->client_port = known;
	return reason;
}
