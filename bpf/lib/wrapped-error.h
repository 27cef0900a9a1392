/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "ipip.h"
#include "geneve-answer.h"
#include "service-error.h"
#include "too-long.h"

/*
 * ICMP errors about what this node put around a client's packet: the way between nodes carries less than their devices, or
 * ends. The client is told, in its own terms, as by the end of a tunnel (RFC 2003 4, RFC 2473 8): what there is room for
 * inside, or that the host is not to be reached. Nothing is remembered: what is too long next time has an error of its own.
 */

/* Where the client's packet begins in the error, and how it had been sent; 0: it is not about a packet of that kind. */
__noinline __u32 wrapped_begin(struct __sk_buff *skb, struct pkt *p, struct ct_key *asked)
{
	struct embedded e = {};
	struct peer told = {};
	bool v6, good;

	if (!p || !asked || !embedded_parse(skb, p, &e) || !addr_equal(&e.saddr, &p->daddr))
		return 0;
	v6 = is_v6(p);
	if (e.proto == (v6 ? IPPROTO_IP6IP6 : IPPROTO_IPIP)) {
		e.l3 = e.l4;
	} else if (e.proto == IPPROTO_UDP && e.dport == bpf_htons(GENEVE_PORT)) {
		__be16 inner = geneve_read(skb, e.l4, &told);

		if (!inner)
			return 0;
		v6 = inner == bpf_htons(ETH_P_IPV6);
		e.l3 = e.l4 + (v6 ? GENEVE_SIZE_V6 : GENEVE_SIZE_V4);
	} else {
		return 0;
	}
	good = v6 ? embedded_v6(skb, &e) : embedded_v4(skb, &e);
	if (!good || !is_port_protocol(e.proto) || !embedded_ports(skb, &e))
		return 0;
	asked->low = e.saddr;
	asked->high = told.port ? told.addr : e.daddr;
	asked->low_port = e.sport;
	asked->high_port = told.port ? told.port : e.dport;
	asked->proto = e.proto;
	asked->kind = CT_SERVICE;
	asked->pad = 0;
	return e.l3;
}

static __always_inline bool is_direct(const struct ct_key *asked, const struct pkt *p)
{
	struct ct_entry *known = bpf_map_lookup_elem(&conntrack, asked);

	return known && (known->flags & CT_DSR) && !expired(known->expires_sec, p->now);
}

/* What the error says the way carries, without the headers around; 0: nothing of that. */
static __always_inline __u32 room_inside(struct __sk_buff *skb, const struct pkt *p, __u32 added)
{
	__be32 mtu;

	if (is_v6(p) ? p->icmp_type != ICMP6_TOO_BIG : p->icmp_type != ICMP4_UNREACHABLE || p->icmp_code != ICMP4_TOO_BIG)
		return 0;
	if (frame_load(skb, p->l4 + 4, &mtu, sizeof(mtu)) < 0)
		return 0;
	mtu = bpf_ntohl(mtu) & (is_v6(p) ? ~0U : 0xffff); /* above: how much of the packet follows (RFC 4884) */
	return mtu > added ? mtu - added : 0;
}

/* TC_ACT_UNSPEC: it is none of those, and as it was. */
__noinline int wrapped_error(struct __sk_buff *skb, struct pkt *p)
{
	union asked_key asked = {};
	__u32 begin, room;
	__be16 inner;

	if (!p)
		return TC_ACT_UNSPEC;
	begin = wrapped_begin(skb, p, &asked.connection);
	if (!begin || !is_direct(&asked.connection, p))
		return TC_ACT_UNSPEC;
	room = room_inside(skb, p, begin - p->l4 - sizeof(struct icmp_head));
	inner = addr_is_v4(&asked.sent.saddr) ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	if (dsr_unwrap(skb, p, begin - ETH_HLEN, inner) || !may_answer(p))
		return drop(skb, p, DROP_CT_TRUNCATED_OR_INVALID_HEADER);
	as_sent(p, &asked.sent);
	if (room ? make_too_big(skb, p, room) : make_unreachable(skb, p, ICMP4_HOST, ICMP6_ADDRESS))
		return drop(skb, p, DROP_ERROR_WRITING_TO_PACKET);
	if (parse(skb, p))
		return drop(skb, p, DROP_INVALID_PACKET_DROPPED);
	p->src.identity = IDENTITY_HOST;
	p->dst.identity = identity_of(p, ipcache_lookup(&p->daddr));
	p->flags |= PKT_REPORT;
	return route(skb, p);
}
