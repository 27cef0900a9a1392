/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "ct.h"
#include "embedded.h"
#include "lb.h"

/* A tuple as it travels, and its connection's key. */
struct flow {
	struct ct_key key;
	bool high; /* the sender is the key's high pair */
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

/* Both ends may ping each other with one id: who asks is part of an echo's key. */
static __always_inline __u8 echo_kind(bool asks, bool sender_high)
{
	return asks == sender_high ? CT_ECHO_OF_HIGH : CT_FLOW;
}

static __always_inline void flow_of_packet(const struct pkt *p, struct flow *f)
{
	f->high = sender_is_high(&p->saddr, &p->daddr, p->sport, p->dport);
	f->key.low = f->high ? p->daddr : p->saddr;
	f->key.high = f->high ? p->saddr : p->daddr;
	f->key.low_port = f->high ? p->dport : p->sport;
	f->key.high_port = f->high ? p->sport : p->dport;
	f->key.proto = p->proto;
	f->key.kind = p->flags & PKT_ICMP_ECHO ? echo_kind(icmp_asks(p->proto, p->icmp_type), f->high) : CT_FLOW;
	f->key.pad = 0;
}

/* The flow of what the address sends from a port to a backend, of the packet's protocol with ports. */
static __always_inline void flow_to(const struct pkt *p, const struct addr *saddr, __be16 sport,
				    const struct lb_backend *to, struct flow *f)
{
	f->high = sender_is_high(saddr, &to->addr, sport, to->port);
	f->key.low = f->high ? to->addr : *saddr;
	f->key.high = f->high ? *saddr : to->addr;
	f->key.low_port = f->high ? to->port : sport;
	f->key.high_port = f->high ? sport : to->port;
	f->key.proto = p->proto;
	f->key.kind = CT_FLOW;
	f->key.pad = 0;
}

static __always_inline void flow_of_embedded(const struct embedded *e, struct flow *f)
{
	f->high = sender_is_high(&e->saddr, &e->daddr, e->sport, e->dport);
	f->key.low = f->high ? e->daddr : e->saddr;
	f->key.high = f->high ? e->saddr : e->daddr;
	f->key.low_port = f->high ? e->dport : e->sport;
	f->key.high_port = f->high ? e->sport : e->dport;
	f->key.proto = e->proto;
	f->key.kind = CT_FLOW;
	if (e->proto == IPPROTO_ICMP || e->proto == IPPROTO_ICMP6)
		f->key.kind = echo_kind(icmp_asks(e->proto, e->icmp_type), f->high);
	f->key.pad = 0;
}
