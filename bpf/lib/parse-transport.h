/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "protocols.h"
#include "drop.h"

static __always_inline int parse_tcp(frame_t *frame, struct pkt *p)
{
	struct {
		__be16 sport;
		__be16 dport;
		__be32 seq;
		__be32 ack;
		__u8 offset;
		__u8 flags;
	} tcp;

	if (frame_load(frame, p->l4, &tcp, 14) < 0)
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	p->sport = tcp.sport;
	p->dport = tcp.dport;
	p->tcp_flags = tcp.flags;
	p->l4_words = tcp.offset >> 4;
	return 0;
}

static __always_inline int parse_ports(frame_t *frame, struct pkt *p)
{
	__be16 ports[2];

	if (frame_load(frame, p->l4, ports, sizeof(ports)) < 0)
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	p->sport = ports[0];
	p->dport = ports[1];
	p->l4_words = p->proto == IPPROTO_UDP ? 2 : 3;
	return 0;
}

static __always_inline bool icmp_is_error(__u8 proto, __u8 type)
{
	if (proto == IPPROTO_ICMP6)
		return type >= 1 && type <= ICMP6_LAST_ERROR;
	return type == ICMP4_UNREACHABLE || type == ICMP4_SOURCE_QUENCH || type == ICMP4_TIME_EXCEEDED ||
	       type == ICMP4_PARAMETER_PROBLEM;
}

static __always_inline bool icmp_is_echo(__u8 proto, __u8 type)
{
	if (proto == IPPROTO_ICMP6)
		return type == ICMP6_ECHO || type == ICMP6_ECHO_REPLY;
	return type == ICMP4_ECHO || type == ICMP4_ECHO_REPLY;
}

static __always_inline bool icmp_asks(__u8 proto, __u8 type)
{
	return proto == IPPROTO_ICMP6 ? type == ICMP6_ECHO : proto == IPPROTO_ICMP && type == ICMP4_ECHO;
}

static __always_inline int parse_icmp(frame_t *frame, struct pkt *p)
{
	struct {
		__u8 type;
		__u8 code;
		__be16 csum;
		__be16 id;
		__be16 seq;
	} icmp;

	if (frame_load(frame, p->l4, &icmp, sizeof(icmp)) < 0)
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	p->icmp_type = icmp.type;
	p->icmp_code = icmp.code;
	p->l4_words = 2;
	if (icmp_is_echo(p->proto, icmp.type)) {
		p->flags |= PKT_ICMP_ECHO;
		p->sport = icmp.id;
		p->dport = icmp.id;
	} else if (icmp_is_error(p->proto, icmp.type)) {
		p->flags |= PKT_ICMP_ERROR;
	}
	return 0;
}

static __always_inline int parse_transport(frame_t *frame, struct pkt *p)
{
	switch (p->proto) {
	case IPPROTO_TCP:
		return parse_tcp(frame, p);
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		return parse_ports(frame, p);
	case IPPROTO_ICMP:
		return is_v6(p) ? DROP_UNKNOWN_L4_PROTOCOL : parse_icmp(frame, p);
	case IPPROTO_ICMP6:
		return is_v6(p) ? parse_icmp(frame, p) : DROP_UNKNOWN_L4_PROTOCOL;
	default: /* judged by protocol alone */
		return 0;
	}
}
