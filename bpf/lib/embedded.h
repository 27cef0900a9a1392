/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "parse.h"

/* The head of the packet an ICMP error is about: its tuple as it was sent, and where it lies. */
struct embedded {
	struct addr saddr;
	struct addr daddr;
	__be16 sport;
	__be16 dport;
	__u16 l3; /* offsets in the frame */
	__u16 l4;
	__u8 proto;
	__u8 icmp_type; /* of an echo */
	__u8 pad[2];
};

static __always_inline bool embedded_ports(frame_t *frame, struct embedded *e)
{
	__be16 ports[2];

	if (e->proto == IPPROTO_TCP || e->proto == IPPROTO_UDP || e->proto == IPPROTO_SCTP) {
		if (frame_load(frame, e->l4, ports, sizeof(ports)) < 0)
			return false;
		e->sport = ports[0];
		e->dport = ports[1];
		return true;
	}
	if (e->proto != IPPROTO_ICMP && e->proto != IPPROTO_ICMP6)
		return true;
	if (frame_load(frame, e->l4, &e->icmp_type, 1) < 0 || !icmp_is_echo(e->proto, e->icmp_type) ||
	    frame_load(frame, e->l4 + 4, &e->sport, 2) < 0)
		return false;
	e->dport = e->sport;
	return true;
}

static __always_inline bool embedded_v4(frame_t *frame, struct embedded *e)
{
	struct iphdr ip;

	if (frame_load(frame, e->l3, &ip, sizeof(ip)) < 0 || ip.version != 4 || ip.ihl < 5)
		return false;
	if (ip.frag_off & bpf_htons(IP_OFFSET_MASK))
		return false;
	e->l4 = e->l3 + ip.ihl * 4;
	e->proto = ip.protocol;
	addr_set_v4(&e->saddr, ip.saddr);
	addr_set_v4(&e->daddr, ip.daddr);
	return true;
}

static __always_inline bool embedded_v6(frame_t *frame, struct embedded *e)
{
	struct ipv6_extension_head ext;
	struct ipv6hdr ip;

	if (frame_load(frame, e->l3, &ip, sizeof(ip)) < 0 || ip.version != 6)
		return false;
	e->l4 = e->l3 + sizeof(ip);
	e->proto = ip.nexthdr;
	addr_set_v6(&e->saddr, ip.saddr.in6_u.u6_addr32);
	addr_set_v6(&e->daddr, ip.daddr.in6_u.u6_addr32);
	if (e->proto != IPV6_FRAGMENT)
		return !ipv6_is_extension(e->proto);
	if (frame_load(frame, e->l4, &ext, sizeof(ext)) < 0 || (bpf_ntohs(ext.fragment) >> 3) != 0)
		return false;
	e->l4 += sizeof(ext);
	e->proto = ext.next;
	return true;
}

/* Only for PKT_ICMP_ERROR. False: too short, or of a kind that has no connection. */
__noinline int embedded_parse(frame_t *frame, struct pkt *p, struct embedded *e)
{
	bool good;

	if (!p || !e)
		return false;
	__builtin_memset(e, 0, sizeof(*e));
	e->l3 = p->l4 + 8;
	good = is_v6(p) ? embedded_v6(frame, e) : embedded_v4(frame, e);
	return good && embedded_ports(frame, e);
}
