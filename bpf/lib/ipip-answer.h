/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "ipip.h"
#include "dsr-unwrap.h"
#include "service.h"

/*
 * The backend's node under direct server return by IP in IP: it takes the outer header off and leads the packet to that
 * one's destination, as the node that was asked would have. That node says who, this one's service says at which port.
 */

/* Looks for the slot of the backend with the address. */
struct address_search {
	struct addr addr;
	__u32 frontend;
	__u32 backend; /* found; 0: not so far */
};

static long address_search_step(__u32 index, struct address_search *s)
{
	__u32 id = backend_in_slot(s->frontend, index + 1);
	struct lb_backend *backend = backend_find(id);

	if (!backend || !addr_equal(&backend->addr, &s->addr))
		return 0;
	s->backend = id;
	return 1;
}

/*
 * The port of the backend that another node chose. This one may not choose it itself (hints are by zone): then the port
 * that others of the service have. 0: it has none.
 */
__noinline __u32 ipip_port(struct pkt *p, const struct lb_frontend *f, const struct addr *addr)
{
	struct address_search search = {};
	struct lb_backend *backend;
	struct ct_entry *known;
	struct ct_key key;

	if (!p || !f || !addr)
		return 0;
	service_key(p, &key);
	known = service_connection(p, &key, f);
	backend = known ? backend_find(known->backend) : NULL;
	if (backend && known && addr_equal(&backend->addr, addr)) {
		service_sent(p, known);
		return backend->port;
	}
	search.addr = *addr;
	search.frontend = f->id;
	bpf_loop(f->count, address_search_step, &search, 0);
	backend = backend_find(search.backend ? search.backend : backend_in_slot(f->id, 1));
	if (!backend)
		return 0;
	p->flags |= PKT_DSR;
	if (search.backend)
		service_remember(p, &key, search.backend, 1);
	return backend->port;
}

static __always_inline bool is_ipip(const struct pkt *p)
{
	return p->proto == (is_v6(p) ? IPPROTO_IP6IP6 : IPPROTO_IPIP) && !config.tunnel_ifindex;
}

/*
 * For what comes from the device: what another node led here is unwrapped and has the backend as destination, PKT_DIRECT
 * says so; all else is left as it is. 0 or a drop reason.
 */
__noinline int ipip_arrive(struct __sk_buff *skb, struct pkt *p)
{
	struct lb_frontend *f;
	struct addr backend;
	struct peer told;
	__u32 port;
	int reason;

	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	if (!is_between_nodes(p))
		return 0;
	if (p->l4 != ETH_HLEN + ipip_size(p)) /* no node of ours sends options */
		return DROP_INVALID_PACKET_DROPPED;
	backend = p->daddr;
	reason = dsr_unwrap(skb, p, ipip_size(p), skb->protocol);
	if (reason)
		return reason;
	if (!is_port_protocol(p->proto))
		return DROP_UNSUPPORTED_PROTOCOL_FOR_DSR_ENCAP;
	told.addr = p->daddr;
	told.port = p->dport;
	f = dsr_frontend(p, &told);
	if (!f)
		return DROP_SNAT_NO_MAP_FOUND;
	p->frontend = f->id;
	port = ipip_port(p, f, &backend);
	if (!port)
		return DROP_SERVICE_BACKEND_NOT_FOUND;
	p->flags &= ~(PKT_DSR | PKT_NEW);
	p->flags |= PKT_NODEPORT | PKT_DIRECT;
	p->report.flags |= EVENT_DNAT;
	reason = set_destination(skb, p, &backend, port);
	if (!reason)
		reason = dsr_remember(p, &told);
	if (p->tcp_flags & (TCP_FIN | TCP_RST))
		dsr_note_end(p);
	return reason;
}
