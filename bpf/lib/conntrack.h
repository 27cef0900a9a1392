/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "parse.h"
#include "maps.h"
#include "verdict.h"
#include "embedded.h"

enum ct_timeout_sec {
	CT_TIMEOUT_HALF_OPEN = 60,
	CT_TIMEOUT_TCP = 21600,
	CT_TIMEOUT_CLOSING = 10,
	CT_TIMEOUT_DATAGRAM = 60,
	CT_TIMEOUT_DATAGRAM_ANSWERED = 180,
};


/* Whether the sender's pair comes second in the canonical order of a key. */
static __always_inline bool sender_is_high(const struct addr *saddr, const struct addr *daddr, __be16 sport,
					   __be16 dport)
{
	__u64 s = bpf_be64_to_cpu(saddr->halves[0]), d = bpf_be64_to_cpu(daddr->halves[0]);

	if (s != d)
		return s > d;
	s = bpf_be64_to_cpu(saddr->halves[1]);
	d = bpf_be64_to_cpu(daddr->halves[1]);
	if (s != d)
		return s > d;
	return bpf_ntohs(sport) > bpf_ntohs(dport);
}

static __always_inline bool expired(__u32 expires_sec, __u32 now)
{
	return (__s32)(expires_sec - now) <= 0;
}

static __always_inline bool begins_tcp(const struct pkt *p)
{
	return p->proto == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* The packet's connection, or NULL. Sets PKT_REPLY. */
static __always_inline struct ct_entry *ct_find(struct pkt *p, const struct ct_key *key, bool high)
{
	struct ct_entry *ct = bpf_map_lookup_elem(&conntrack, key);

	if (!ct || expired(ct->expires_sec, p->now))
		return NULL;
	if ((ct->flags & CT_CLOSING) && begins_tcp(p)) /* the port is used anew */
		return NULL;
	if (((ct->flags & CT_HIGH_BEGAN) != 0) != high)
		p->flags |= PKT_REPLY;
	return ct;
}

static __always_inline __u32 ct_timeout(const struct pkt *p, __u16 flags)
{
	if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMP6)
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
	bool reply = p->flags & PKT_REPLY;
	struct endpoint *from = reply ? p->dst : p->src;
	struct endpoint *to = reply ? p->src : p->dst;

	if (from && from->policy_rev != ct->src_rev)
		return true;
	if (to && to->policy_rev != ct->dst_rev)
		return true;
	if (reply)
		return p->src_identity != ct->dst_identity || p->dst_identity != ct->src_identity;
	return p->src_identity != ct->src_identity || p->dst_identity != ct->dst_identity;
}

/*
 * What an answer's ends are called was settled by the connection's first packet (a NodePort client behind another
 * node keeps its identity only in that direction). Pods of this node know theirs better.
 */
static __always_inline void adopt(struct pkt *p, const struct ct_entry *ct)
{
	p->frontend = ct->frontend;
	if (!(p->flags & PKT_REPLY))
		return;
	if (!p->src)
		p->src_identity = ct->dst_identity;
	if (!p->dst)
		p->dst_identity = ct->src_identity;
}

static __always_inline void ct_set_judged(const struct pkt *p, struct ct_entry *ct)
{
	bool reply = p->flags & PKT_REPLY;
	struct endpoint *from = reply ? p->dst : p->src;
	struct endpoint *to = reply ? p->src : p->dst;

	ct->src_identity = reply ? p->dst_identity : p->src_identity;
	ct->dst_identity = reply ? p->src_identity : p->dst_identity;
	if (from) {
		ct->src_rev = from->policy_rev;
		ct->egress_rule = p->egress_rule;
		ct->flags |= CT_EGRESS_JUDGED;
	}
	if (to) {
		ct->dst_rev = to->policy_rev;
		ct->ingress_rule = p->ingress_rule;
		ct->flags |= CT_INGRESS_JUDGED;
	}
}

/* The frontend a socket's connect was translated from: the packet itself carries the backend's address. */
static __always_inline __u32 socket_frontend(const struct pkt *p)
{
	struct lb_sock_key key = { .addr = p->daddr, .port = p->dport, .proto = p->proto };
	struct lb_sock *sock;

	key.cookie = bpf_get_socket_cookie(p->skb);
	if (!key.cookie)
		return 0;
	sock = bpf_map_lookup_elem(&lb_socks, &key);
	return sock ? sock->frontend : 0;
}

static __always_inline int ct_create(struct pkt *p, const struct ct_key *key, bool high)
{
	struct ct_entry ct = { .packets = { 1, 0 }, .bytes = { p->length, 0 }, .frontend = p->frontend };

	ct_set_judged(p, &ct);
	ct.flags |= high ? CT_HIGH_BEGAN : 0;
	ct.flags |= p->flags & PKT_NODEPORT ? CT_NODEPORT : 0;
	if (!p->frontend && p->src && (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP)) {
		ct.frontend = socket_frontend(p);
		ct.flags |= ct.frontend ? CT_SOCKET_LB : 0;
		p->frontend = ct.frontend;
	}
	ct.tcp_flags[0] = p->tcp_flags;
	if (p->tcp_flags & TCP_RST)
		ct.flags |= CT_CLOSING;
	ct.expires_sec = p->now + ct_timeout(p, ct.flags);
	ct.reported_sec[0] = p->now;
	p->flags |= PKT_NEW | PKT_REPORT;
	if (bpf_map_update_elem(&conntrack, key, &ct, BPF_ANY) < 0)
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

static __always_inline void ct_update(struct pkt *p, struct ct_entry *ct)
{
	bool reply = p->flags & PKT_REPLY;
	__u32 expires;

	if (ct_is_news(p, ct, reply)) {
		p->flags |= PKT_REPORT;
		ct->reported_sec[reply] = p->now;
	}
	ct->packets[reply]++;
	ct->bytes[reply] += p->length;
	if (reply && !(ct->flags & CT_SEEN_REPLY))
		ct->flags |= CT_SEEN_REPLY;
	if (p->tcp_flags & ~ct->tcp_flags[reply]) {
		ct->tcp_flags[reply] |= p->tcp_flags;
		if (((ct->tcp_flags[0] | ct->tcp_flags[1]) & TCP_RST) ||
		    (ct->tcp_flags[0] & ct->tcp_flags[1] & TCP_FIN)) {
			ct->flags |= CT_CLOSING;
			p->flags |= PKT_LAST;
		}
	}
	expires = p->now + ct_timeout(p, ct->flags);
	if (ct->expires_sec != expires)
		ct->expires_sec = expires;
	p->ct = ct;
	if (!p->egress_rule)
		p->egress_rule = ct->egress_rule;
	if (!p->ingress_rule)
		p->ingress_rule = ct->ingress_rule;
	if (ct->flags & CT_EGRESS_JUDGED)
		p->event_flags |= EVENT_EGRESS_JUDGED;
	if (ct->flags & CT_INGRESS_JUDGED)
		p->event_flags |= EVENT_INGRESS_JUDGED;
}

/* An ICMP error belongs to the connection of the packet it carries. Returns that connection or NULL. */
static __always_inline struct ct_entry *ct_find_related(struct pkt *p)
{
	struct ct_key key = { .kind = CT_FLOW };
	struct embedded e;
	struct ct_entry *ct;
	bool high;

	if (!embedded_parse(p, &e) || !addr_equal(&e.saddr, &p->daddr))
		return NULL;
	high = sender_is_high(&e.saddr, &e.daddr, e.sport, e.dport);
	key.low = high ? e.daddr : e.saddr;
	key.high = high ? e.saddr : e.daddr;
	key.low_port = high ? e.dport : e.sport;
	key.high_port = high ? e.sport : e.dport;
	key.proto = e.proto;
	ct = bpf_map_lookup_elem(&conntrack, &key);
	if (!ct || expired(ct->expires_sec, p->now))
		return NULL;
	p->flags |= PKT_RELATED | PKT_REPORT;
	/* the error goes to the embedded packet's sender: against an original packet it is a reply */
	if (((ct->flags & CT_HIGH_BEGAN) != 0) == high)
		p->flags |= PKT_REPLY;
	p->frontend = ct->frontend;
	return ct;
}

/*
 * Conntrack and policy in one: finds or creates the packet's entry, judging what is new and what was judged under
 * other policies or identities. A packet of a connection now denied is dropped in both directions; its entry stays
 * and runs out, so that it comes back to life when the policy allows it again. Returns 0 or a drop reason.
 */
static __always_inline int admit(struct pkt *p)
{
	struct ct_key key = { .proto = p->proto, .kind = CT_FLOW };
	struct ct_entry *ct;
	bool high;
	int reason;

	if (p->flags & PKT_ICMP_ERROR) {
		p->ct = ct_find_related(p);
		if (p->ct)
			return 0;
	}
	high = sender_is_high(&p->saddr, &p->daddr, p->sport, p->dport);
	key.low = high ? p->daddr : p->saddr;
	key.high = high ? p->saddr : p->daddr;
	key.low_port = high ? p->dport : p->sport;
	key.high_port = high ? p->sport : p->dport;
	ct = ct_find(p, &key, high);
	if (ct) {
		adopt(p, ct);
		if (!ct_is_stale(p, ct)) {
			ct_update(p, ct);
			return 0;
		}
	}
	reason = judge(p);
	if (reason)
		return reason;
	if (!ct)
		return ct_create(p, &key, high);
	ct_set_judged(p, ct);
	ct_update(p, ct);
	return 0;
}
