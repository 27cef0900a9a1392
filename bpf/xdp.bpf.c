/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The load balancer before the node's network stack: what the outside sends to services whose backends are on other
 * nodes goes out again by the device it came in by, and so do the answers. It looks first: what it can't bring to its
 * end, local backends among it, goes up as it came, to the same work at traffic control (host.bpf.c) with the same maps.
 * So it drops only what that would drop too, and before all that what comes from denied sources.
 */
#include "lib/frame-xdp.h"
#include "lib/packet.h"
#include "lib/parse.h"
#include "lib/prefilter.h"
#include "lib/sender.h"
#include "lib/service.h"
#include "lib/source-nat.h"
#include "lib/nat-restore.h"
#include "lib/ipip.h"
#include "lib/geneve.h"
#include "lib/xdp-forward.h"
#include "lib/xdp-unwrap.h"
#include "lib/xdp-shortcut.h"

const volatile struct node_config config = {};

/* A backend for a packet, and what is known of its connection. */
struct choice {
	union { /* the stack has no room for both */
		struct ct_key key;   /* of the connection, until it is remembered */
		struct nat_key sent; /* then how the packet came */
	};
	struct addr addr;
	__u32 id;
	__be16 port;
};

static __always_inline int take(struct choice *c, const struct lb_backend *backend)
{
	if (!backend)
		return false;
	c->addr = backend->addr;
	c->port = backend->port;
	return true;
}

/* The connection's backend, or one chosen now, of which *known is NULL. False: there is none, or none that the service knows still. */
static __always_inline bool find_backend(struct pkt *p, const struct lb_frontend *f, struct choice *c,
					 struct ct_entry **known)
{
	service_key(p, &c->key);
	*known = service_connection(p, &c->key, f);
	if (*known) {
		c->id = (*known)->backend;
		if (take(c, backend_find(c->id)))
			return true;
		if (p->proto == IPPROTO_TCP && !begins_tcp(p))
			return false;
	}
	*known = NULL;
	c->id = find_or_choose(p, f);
	return take(c, backend_find(c->id));
}

/* Whether the backend is another node's that the frame's device leads to. */
__noinline int leads_to_backend(frame_t *frame, struct pkt *p, struct choice *c, struct way *way)
{
	struct ipcache_entry *entry;

	if (!p || !c || !way || endpoint_by_addr(&c->addr))
		return false;
	entry = ipcache_lookup(&c->addr);
	p->dst.identity = identity_of(p, entry);
	if (p->dst.identity == IDENTITY_HOST)
		return false;
	way->tunnelled = !goes_by_geneve(p) && config.tunnel_ifindex && entry && !addr_is_zero(&entry->tunnel);
	way->from = node_address(p);
	way->to = c->addr;
	if (goes_by_geneve(p)) {
		way->to = geneve_end(&c->addr, entry);
		way->from = node_address_beside(&way->to);
		way->growth = geneve_growth(p, &way->to);
	}
	way->length = p->length + way->growth;
	if (entry && way->tunnelled) {
		way->to = entry->tunnel;
		way->from = node_address_beside(&way->to);
		way->length += tunnel_overhead(&way->to);
	}
	return way->length <= config.mtu && leads_back(frame, p, way);
}

/* Destination and source as to_service of host.bpf.c gives them. 0 or a drop reason. */
static __always_inline int rewrite(frame_t *frame, struct pkt *p, struct choice *c, const struct way *way)
{
	struct addr source = way->tunnelled ? router_address(p) : node_address(p);
	int reason;

	nat_sent_key(p, &c->sent);
	p->report.flags |= EVENT_DNAT;
	reason = set_destination(frame, p, &c->addr, c->port);
	if (!reason && !(p->flags & PKT_DSR))
		reason = nat_source(frame, p, &c->sent, &source);
	if (reason)
		return reason;
	shortcut_learn(frame, p, &c->sent, way);
	if (way->growth)
		reason = dsr_tell(frame, p, &c->sent);
	return reason ? reason : one_hop_further(frame, p);
}

/* To the backend, in a packet of this node's, untouched but for its hop count. */
static __always_inline int send_ipip(frame_t *frame, struct pkt *p, struct choice *c, const struct way *way)
{
	if (one_hop_further(frame, p) || make_room(frame, way, is_v6(p) ? ETH_P_IPV6 : ETH_P_IP, ipip_size(p)) ||
	    ipip_store(frame, p, &c->addr) < 0)
		return drop(frame, p, DROP_ERROR_WRITING_TO_PACKET);
	p->report.flags |= EVENT_DNAT;
	p->daddr = c->addr;
	p->dport = c->port;
	p->length += ipip_size(p);
	forwarded(frame, p, TRACE_TO_NETWORK);
	return XDP_TX;
}

/* To the node of the backend, translated, in a packet of this node's that tells it the frontend. */
static __always_inline int send_geneve(frame_t *frame, struct pkt *p, struct choice *c, const struct way *way)
{
	int reason;

	nat_sent_key(p, &c->sent);
	p->report.flags |= EVENT_DNAT;
	reason = set_destination(frame, p, &c->addr, c->port);
	if (!reason)
		reason = one_hop_further(frame, p);
	if (!reason && (make_room(frame, way, addr_is_v4(&way->to) ? ETH_P_IP : ETH_P_IPV6, way->growth) ||
			geneve_store(frame, p, &c->sent, &way->to)))
		reason = DROP_ERROR_WRITING_TO_PACKET;
	if (reason)
		return drop(frame, p, reason);
	p->length += way->growth;
	forwarded(frame, p, TRACE_TO_NETWORK);
	return XDP_TX;
}

/* From a client outside to the frontend. */
__noinline int from_client(frame_t *frame, struct pkt *p, const struct lb_frontend *f)
{
	struct ct_entry *known;
	struct choice c = {};
	struct way way = {};
	int reason;

	if (!p || !f)
		return XDP_PASS;
	p->frontend = f->id;
	if (!client_may_ask(f, &p->saddr) || identify_sender(p) || !find_backend(p, f, &c, &known))
		return XDP_PASS;
	way.growth = told_growth(p, false, 0, 0);
	if (!leads_to_backend(frame, p, &c, &way)) {
		if (!known) /* traffic control would choose again, and local backends be chosen more often than others */
			service_remember(p, &c.key, c.id, 0);
		return XDP_PASS;
	}
	if (known) {
		service_sent(p, known);
	} else {
		service_remember(p, &c.key, c.id, 1);
		p->flags |= PKT_NEW;
	}
	p->flags |= p->flags & PKT_NEW ? PKT_NODEPORT | PKT_REPORT : PKT_NODEPORT;
	if (goes_by_ipip(p))
		return send_ipip(frame, p, &c, &way);
	if (goes_by_geneve(p))
		return send_geneve(frame, p, &c, &way);
	reason = rewrite(frame, p, &c, &way);
	if (reason)
		return drop(frame, p, reason);
	return way.tunnelled ? send_wrapped(frame, p, &way) : send_back(frame, p, &way.macs);
}

/* From another node's backend, whose answer goes on to the client; entry is the mapping it answers. */
__noinline int from_backend(frame_t *frame, struct pkt *p, struct nat_entry *entry)
{
	struct lb_reverse_key key = {};
	struct lb_reverse *shown;
	struct nat_key came;
	struct way way = {};
	int reason;

	if (!p || !entry)
		return XDP_PASS;
	key.frontend = entry->frontend;
	shown = bpf_map_lookup_elem(&lb_reverse, &key);
	if (!shown || (!(p->flags & PKT_TUNNEL) && identify_sender(p)))
		return XDP_PASS;
	way.from = shown->addr;
	way.to = entry->addr;
	way.length = p->length;
	if (!leads_back(frame, p, &way))
		return XDP_PASS;
	nat_sent_key(p, &came);
	reason = nat_undo(frame, p, NULL, entry);
	if (!reason)
		reason = show_source(frame, p, &way.from, shown->port);
	p->flags |= PKT_REPLY;
	p->dst.identity = identity_of(p, ipcache_lookup(&p->daddr));
	if (!reason) {
		shortcut_learn(frame, p, &came, &way);
		reason = one_hop_further(frame, p);
	}
	return reason ? drop(frame, p, reason) : send_back(frame, p, &way.macs);
}

/* An enum xdp_action; XDP_PASS: the frame is as it was. */
static __always_inline int balance(frame_t *frame, struct pkt *p)
{
	struct nat_entry *answered;
	struct lb_frontend *f;
	int verdict;

	if (!is_ip(frame) || parse(frame, p) || !is_port_protocol(p->proto) || is_tunnelled(p) || p->ttl <= 1)
		return XDP_PASS;
	verdict = shortcut_take(frame, p);
	if (verdict != XDP_PASS)
		return verdict;
	answered = nat_answered(frame, p, NULL);
	if (answered)
		return answered->frontend ? from_backend(frame, p, answered) : XDP_PASS;
	if (p->flags & PKT_TUNNEL)
		return XDP_PASS;
	f = frontend_from_outside(p);
	return f && (f->flags & (LB_NODEPORT | LB_EXTERNAL)) ? from_client(frame, p, f) : XDP_PASS;
}

/* A switch sends a frame to everybody as long as it does not know where the receiver is. */
static __always_inline bool is_addressed_to_device(frame_t *frame)
{
	struct macs macs;
	int i;

	if (frame_load(frame, 0, &macs, sizeof(macs)) < 0)
		return false;
	for (i = 0; i < 6; i++)
		if (macs.dst[i] != config.device_mac[i])
			return false;
	return true;
}

/* Everything that arrives on the device, before anybody else has seen it. */
SEC("xdp.frags")
int from_wire(struct xdp_md *frame)
{
	struct pkt p = { .report.file = FILE_XDP, .direction = POLICY_INGRESS };
	__u32 wrapped = 0;
	int verdict;

	if (prefilter_denies(frame, &p))
		return drop(frame, &p, DROP_POLICY_DENY);
	if (!is_addressed_to_device(frame))
		return XDP_PASS;
	if (config.tunnel_ifindex)
		wrapped = wrapping(frame, &p);
	if (wrapped) {
		p.flags |= PKT_TUNNEL;
		if (bpf_xdp_adjust_head(frame, wrapped) < 0)
			return XDP_PASS;
	}
	verdict = balance(frame, &p);
	if (wrapped && verdict == XDP_PASS && bpf_xdp_adjust_head(frame, -(int)wrapped) < 0)
		return drop(frame, &p, DROP_INVALID_PACKET_DROPPED);
	return verdict;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
