/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "packet.h"
#include "drop.h"
#include "maps.h"

#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET_MASK 0x1fff
#define IPV6_MAX_EXTENSIONS 6
#define VXLAN_PORT 8472

enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

enum icmp4 {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_SOURCE_QUENCH = 4,
	ICMP4_ECHO = 8,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER_PROBLEM = 12,
};

enum icmp6 {
	ICMP6_LAST_ERROR = 4, /* 1 unreachable, 2 too big, 3 time exceeded, 4 parameter problem */
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_MLD_QUERY = 130,
	ICMP6_MLD_DONE = 132,
	ICMP6_ROUTER_SOLICITATION = 133,
	ICMP6_ROUTER_ADVERTISEMENT = 134,
	ICMP6_NEIGHBOUR_SOLICITATION = 135,
	ICMP6_NEIGHBOUR_ADVERTISEMENT = 136,
	ICMP6_REDIRECT = 137,
	ICMP6_MLD2_REPORT = 143,
};

enum ipv6_extension {
	IPV6_HOP_BY_HOP = 0,
	IPV6_ROUTING = 43,
	IPV6_FRAGMENT = 44,
	IPV6_AUTHENTICATION = 51,
	IPV6_DESTINATION = 60,
};

struct fragment_head {
	__be32 id;
	__u16 offset; /* in 8-byte units */
};

static __always_inline int parse_tcp(struct __sk_buff *skb, struct pkt *p)
{
	struct {
		__be16 sport;
		__be16 dport;
		__be32 seq;
		__be32 ack;
		__u8 offset;
		__u8 flags;
	} tcp;

	if (bpf_skb_load_bytes(skb, p->l4, &tcp, 14) < 0)
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	p->sport = tcp.sport;
	p->dport = tcp.dport;
	p->tcp_flags = tcp.flags;
	p->l4_len = (tcp.offset >> 4) * 4;
	return 0;
}

static __always_inline int parse_ports(struct __sk_buff *skb, struct pkt *p)
{
	__be16 ports[2];

	if (bpf_skb_load_bytes(skb, p->l4, ports, sizeof(ports)) < 0)
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	p->sport = ports[0];
	p->dport = ports[1];
	p->l4_len = p->proto == IPPROTO_UDP ? 8 : 12;
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

static __always_inline int parse_icmp(struct __sk_buff *skb, struct pkt *p)
{
	struct {
		__u8 type;
		__u8 code;
		__be16 csum;
		__be16 id;
		__be16 seq;
	} icmp;

	if (bpf_skb_load_bytes(skb, p->l4, &icmp, sizeof(icmp)) < 0)
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	p->icmp_type = icmp.type;
	p->icmp_code = icmp.code;
	p->l4_len = 8;
	if (icmp_is_echo(p->proto, icmp.type)) {
		p->flags |= PKT_ICMP_ECHO;
		p->sport = icmp.id;
		p->dport = icmp.id;
	} else if (icmp_is_error(p->proto, icmp.type)) {
		p->flags |= PKT_ICMP_ERROR;
	}
	return 0;
}

static __always_inline int parse_transport(struct __sk_buff *skb, struct pkt *p)
{
	switch (p->proto) {
	case IPPROTO_TCP:
		return parse_tcp(skb, p);
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		return parse_ports(skb, p);
	case IPPROTO_ICMP:
		return is_v6(p) ? DROP_UNKNOWN_L4_PROTOCOL : parse_icmp(skb, p);
	case IPPROTO_ICMP6:
		return is_v6(p) ? parse_icmp(skb, p) : DROP_UNKNOWN_L4_PROTOCOL;
	default: /* judged by protocol alone */
		return 0;
	}
}

/* The first fragment leaves its ports in frags, the later ones take them from there. */
static __always_inline int parse_fragment(struct __sk_buff *skb, struct pkt *p, const struct fragment_head *head)
{
	struct fragment_key key = { .saddr = p->saddr, .daddr = p->daddr, .id = head->id };
	struct fragment *known, first = {};
	int err;

	p->flags |= PKT_FRAGMENT;
	if (!is_v6(p)) /* in IPv6 the fragments of one datagram may name different next headers (RFC 8200 4.5) */
		key.proto = p->proto;
	if (head->offset != 0) {
		known = bpf_map_lookup_elem(&frags, &key);
		if (!known)
			return DROP_FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND;
		p->flags |= PKT_LATER_FRAGMENT;
		p->proto = known->proto;
		p->sport = known->sport;
		p->dport = known->dport;
		if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMP6)
			p->flags |= PKT_ICMP_ECHO;
		return 0;
	}
	err = parse_transport(skb, p);
	if (err)
		return err;
	first.sport = p->sport;
	first.dport = p->dport;
	first.proto = p->proto;
	bpf_map_update_elem(&frags, &key, &first, BPF_ANY);
	return 0;
}

static __always_inline int parse_v4(struct __sk_buff *skb, struct pkt *p)
{
	struct fragment_head head;
	struct iphdr ip;
	__u16 frag;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.version != 4 || ip.ihl < 5)
		return DROP_INVALID_PACKET_DROPPED;
	p->l4 = ETH_HLEN + ip.ihl * 4;
	p->proto = ip.protocol;
	p->ttl = ip.ttl;
	addr_set_v4(&p->saddr, ip.saddr);
	addr_set_v4(&p->daddr, ip.daddr);
	frag = bpf_ntohs(ip.frag_off);
	if (!(frag & (IP_MORE_FRAGMENTS | IP_OFFSET_MASK)))
		return parse_transport(skb, p);
	head.id = ip.id;
	head.offset = frag & IP_OFFSET_MASK;
	return parse_fragment(skb, p, &head);
}

struct ipv6_extension_head {
	__u8 next;
	__u8 length;
	__be16 fragment;
	__be32 id;
};

static __always_inline bool ipv6_is_extension(__u8 proto)
{
	return proto == IPV6_HOP_BY_HOP || proto == IPV6_ROUTING || proto == IPV6_FRAGMENT ||
	       proto == IPV6_AUTHENTICATION || proto == IPV6_DESTINATION;
}

static __always_inline int parse_v6(struct __sk_buff *skb, struct pkt *p)
{
	struct fragment_head head = {};
	struct ipv6_extension_head ext;
	bool fragmented = false;
	struct ipv6hdr ip;
	int i;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.version != 6)
		return DROP_INVALID_PACKET_DROPPED;
	p->flags |= PKT_V6;
	p->l4 = ETH_HLEN + sizeof(ip);
	p->proto = ip.nexthdr;
	p->ttl = ip.hop_limit;
	addr_set_v6(&p->saddr, ip.saddr.in6_u.u6_addr32);
	addr_set_v6(&p->daddr, ip.daddr.in6_u.u6_addr32);
	if (addr_is_v4(&p->saddr) || addr_is_v4(&p->daddr)) /* never on the wire: it would pass for IPv4 */
		return DROP_INVALID_PACKET_DROPPED;

	for (i = 0; i < IPV6_MAX_EXTENSIONS && ipv6_is_extension(p->proto) && head.offset == 0; i++) {
		if (bpf_skb_load_bytes(skb, p->l4, &ext, sizeof(ext)) < 0)
			return DROP_INVALID_IPV6_EXTENSION_HEADER;
		if (p->proto == IPV6_FRAGMENT) {
			__u16 field = bpf_ntohs(ext.fragment);

			head.id = ext.id;
			head.offset = field >> 3;
			fragmented = head.offset != 0 || (field & 1); /* else RFC 6946: a whole datagram */
			p->l4 += 8;
		} else if (p->proto == IPV6_AUTHENTICATION) {
			p->l4 += (ext.length + 2) * 4;
		} else {
			p->l4 += (ext.length + 1) * 8;
		}
		p->proto = ext.next;
	}
	if (fragmented)
		return parse_fragment(skb, p, &head);
	if (ipv6_is_extension(p->proto))
		return DROP_INVALID_IPV6_EXTENSION_HEADER;
	return parse_transport(skb, p);
}

/* Fills the tuple and what else the header says. Returns 0 or a drop reason. Only for ETH_P_IP and ETH_P_IPV6. */
__noinline int parse(struct __sk_buff *skb, struct pkt *p)
{
	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	p->length = skb->len - ETH_HLEN;
	p->now = now_sec();
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return parse_v4(skb, p);
	return parse_v6(skb, p);
}

static __always_inline bool is_ip(const struct __sk_buff *skb)
{
	return skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6);
}

/* Neighbour discovery and multicast listener reports: between a link's two ends, nobody's flow. */
static __always_inline bool is_link_local_chatter(const struct pkt *p)
{
	if (p->proto != IPPROTO_ICMP6 || (p->flags & PKT_LATER_FRAGMENT))
		return false;
	return (p->icmp_type >= ICMP6_MLD_QUERY && p->icmp_type <= ICMP6_ROUTER_SOLICITATION) ||
	       p->icmp_type == ICMP6_NEIGHBOUR_SOLICITATION || p->icmp_type == ICMP6_NEIGHBOUR_ADVERTISEMENT ||
	       p->icmp_type == ICMP6_MLD2_REPORT;
}

/* VXLAN between nodes. */
static __always_inline bool is_tunnelled(const struct pkt *p)
{
	return config.tunnel_ifindex && p->proto == IPPROTO_UDP && p->dport == bpf_htons(VXLAN_PORT);
}
