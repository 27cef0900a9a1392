/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "flow.h"
#include "maps.h"

enum ct_timeout_sec {
	CT_TIMEOUT_HALF_OPEN = 60,
	CT_TIMEOUT_TCP = 21600,
	CT_TIMEOUT_CLOSING = 10,
	CT_TIMEOUT_DATAGRAM = 60,
	CT_TIMEOUT_DATAGRAM_ANSWERED = 180,
};

static __always_inline bool expired(__u32 expires_sec, __u32 now)
{
	return (__s32)(expires_sec - now) <= 0;
}

static __always_inline bool begins_tcp(const struct pkt *p)
{
	return p->proto == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* The tuple travels against the direction the connection began in. */
static __always_inline bool is_reply(const struct flow *f, const struct ct_entry *ct)
{
	return ((ct->flags & CT_HIGH_BEGAN) != 0) != f->high;
}

static __always_inline struct ct_entry *ct_lookup(const struct flow *f, __u32 now)
{
	struct ct_entry *ct = bpf_map_lookup_elem(&conntrack, &f->key);

	return ct && !expired(ct->expires_sec, now) ? ct : NULL;
}

/* The packet's connection, or NULL. Sets PKT_REPLY. */
static __always_inline struct ct_entry *ct_find(struct pkt *p, const struct flow *f)
{
	struct ct_entry *ct = ct_lookup(f, p->now);

	if (!ct || ((ct->flags & CT_CLOSING) && begins_tcp(p))) /* the ports are used anew */
		return NULL;
	if (is_reply(f, ct))
		p->flags |= PKT_REPLY;
	return ct;
}

static __always_inline __u32 ct_timeout(const struct pkt *p, __u16 flags)
{
	if (is_icmp(p))
		return CT_TIMEOUT_DATAGRAM;
	if (p->proto != IPPROTO_TCP)
		return flags & CT_SEEN_REPLY ? CT_TIMEOUT_DATAGRAM_ANSWERED : CT_TIMEOUT_DATAGRAM;
	if (flags & CT_CLOSING)
		return CT_TIMEOUT_CLOSING;
	return flags & CT_SEEN_REPLY ? CT_TIMEOUT_TCP : CT_TIMEOUT_HALF_OPEN;
}

/* The policies that judged the entry, or the identities they judged, are no longer those of today. */
static __always_inline bool ct_is_stale(const struct pkt *p, const struct ct_entry *ct)
{
	const struct end *from = p->flags & PKT_REPLY ? &p->dst : &p->src;
	const struct end *to = p->flags & PKT_REPLY ? &p->src : &p->dst;

	if (from->id && from->policy_rev != ct->src_rev)
		return true;
	if (to->id && to->policy_rev != ct->dst_rev)
		return true;
	return from->identity != ct->src_identity || to->identity != ct->dst_identity;
}

/*
 * What an answer's ends are called was settled by the connection's first packet (a NodePort client behind another
 * node keeps its identity only in that direction). Pods of this node know theirs better.
 */
static __always_inline void adopt(struct pkt *p, const struct ct_entry *ct)
{
	p->frontend = ct->frontend;
	p->client_port = ct->port;
	if (!(p->flags & PKT_REPLY))
		return;
	if (!p->src.id)
		p->src.identity = ct->dst_identity;
	if (!p->dst.id)
		p->dst.identity = ct->src_identity;
}

/* How the packet came to the backend. */
static __always_inline __u16 ct_arrival(const struct pkt *p)
{
	return (p->flags & PKT_NODEPORT ? CT_NODEPORT : 0) | (p->flags & PKT_DIRECT ? CT_DSR : 0);
}

/*
 * One client's port may reach one backend by several services, or none, one after the other: the answers show what was
 * asked for last.
 */
static __always_inline void ct_follow_frontend(const struct pkt *p, struct ct_entry *ct)
{
	__u16 flags = ct_arrival(p);
	bool same = p->frontend == ct->frontend && !((ct->flags ^ flags) & CT_DSR);

	if ((p->flags & PKT_REPLY) || same || (!p->frontend && (ct->flags & (CT_SOCKET_LB | CT_DSR))))
		return;
	ct->frontend = p->frontend;
	ct->port = p->client_port;
	ct->flags = (ct->flags & ~(CT_SOCKET_LB | CT_NODEPORT | CT_DSR)) | flags;
}

static __always_inline void ct_set_judged(const struct pkt *p, struct ct_entry *ct)
{
	const struct end *from = p->flags & PKT_REPLY ? &p->dst : &p->src;
	const struct end *to = p->flags & PKT_REPLY ? &p->src : &p->dst;

	ct->src_identity = from->identity;
	ct->dst_identity = to->identity;
	if (from->id) {
		ct->src_rev = from->policy_rev;
		ct->egress_rule = p->egress_rule;
		ct->flags |= CT_EGRESS_JUDGED;
	}
	if (to->id) {
		ct->dst_rev = to->policy_rev;
		ct->ingress_rule = p->ingress_rule;
		ct->flags |= CT_INGRESS_JUDGED;
	}
}

/* The frontend a socket's connect was translated from: the packet itself carries the backend's address. */
static __always_inline __u32 socket_frontend(struct __sk_buff *skb, const struct pkt *p)
{
	struct lb_sock_key key = { .addr = p->daddr, .port = p->dport, .proto = p->proto };
	struct lb_sock *sock;

	key.cookie = bpf_get_socket_cookie(skb);
	if (!key.cookie)
		return 0;
	sock = bpf_map_lookup_elem(&lb_socks, &key);
	return sock ? sock->frontend : 0;
}

static __always_inline int ct_create(struct __sk_buff *skb, struct pkt *p, const struct flow *f)
{
	struct ct_entry ct = { .packets = { 1, 0 }, .bytes = { p->length, 0 } };
	bool reply = p->flags & PKT_REPLY; /* taken over open: see adopt.h */

	ct_set_judged(p, &ct);
	ct.flags |= f->high != reply ? CT_HIGH_BEGAN : 0;
	ct.flags |= reply ? CT_SEEN_REPLY : 0;
	ct.flags |= ct_arrival(p);
	ct.flags |= p->flags & PKT_HAIRPIN ? CT_HAIRPIN : 0;
	if (!p->frontend && p->src.id && (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP)) {
		p->frontend = socket_frontend(skb, p);
		ct.flags |= p->frontend ? CT_SOCKET_LB : 0;
	}
	ct.frontend = p->frontend;
	ct.port = p->client_port;
	ct.tcp_flags[0] = p->tcp_flags;
	if (p->tcp_flags & TCP_RST)
		ct.flags |= CT_CLOSING;
	ct.expires_sec = p->now + ct_timeout(p, ct.flags);
	ct.reported_sec[0] = p->now;
	p->ct_flags = ct.flags;
	p->report.packets = 1;
	p->report.bytes = p->length;
	p->flags |= PKT_NEW | PKT_REPORT;
	if (bpf_map_update_elem(&conntrack, &f->key, &ct, BPF_ANY) < 0)
		return DROP_CT_MAP_INSERTION_FAILED;
	return 0;
}

/* Whether the packet changes what is known of the connection, or its direction was silent for long enough. */
static __always_inline bool ct_is_news(const struct pkt *p, const struct ct_entry *ct, bool reply)
{
	if (reply && !(ct->flags & CT_SEEN_REPLY))
		return true;
	if (p->tcp_flags & (TCP_FIN | TCP_RST) & ~ct->tcp_flags[reply])
		return true;
	return p->now - ct->reported_sec[reply] >= config.event_interval_sec;
}

static __always_inline void ct_see_tcp_flags(struct pkt *p, struct ct_entry *ct, bool reply)
{
	if (!(p->tcp_flags & ~ct->tcp_flags[reply]))
		return;
	ct->tcp_flags[reply] |= p->tcp_flags;
	if (((ct->tcp_flags[0] | ct->tcp_flags[1]) & TCP_RST) || (ct->tcp_flags[0] & ct->tcp_flags[1] & TCP_FIN)) {
		ct->flags |= CT_CLOSING;
		p->flags |= PKT_LAST;
	}
}

static __always_inline void ct_update(struct pkt *p, struct ct_entry *ct)
{
	bool reply = p->flags & PKT_REPLY;
	bool news = ct_is_news(p, ct, reply);
	__u32 expires;

	ct->packets[reply]++;
	ct->bytes[reply] += p->length;
	if (reply && !(ct->flags & CT_SEEN_REPLY))
		ct->flags |= CT_SEEN_REPLY;
	ct_see_tcp_flags(p, ct, reply);
	expires = p->now + ct_timeout(p, ct->flags);
	if (ct->expires_sec != expires)
		ct->expires_sec = expires;
	p->ct_flags = ct->flags;
	if (!news)
		return;
	ct->reported_sec[reply] = p->now;
	p->flags |= PKT_REPORT;
	p->report.packets = ct->packets[reply];
	p->report.bytes = ct->bytes[reply];
	p->egress_rule = ct->egress_rule;
	p->ingress_rule = ct->ingress_rule;
}
