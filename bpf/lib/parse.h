/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "packet.h"
#include "protocols.h"
#include "parse-transport.h"
#include "drop.h"
#include "maps.h"

#define IP_DONT_FRAGMENT 0x4000
#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET_MASK 0x1fff
#define IPV6_MAX_EXTENSIONS 6

struct fragment_head {
	__be32 id;
	__u16 offset; /* in 8-byte units */
};

/* The first fragment leaves its ports in frags, the later ones take them from there. */
static __always_inline int parse_fragment(frame_t *frame, struct pkt *p, const struct fragment_head *head)
{
	struct fragment_key key = { .saddr = p->saddr, .daddr = p->daddr, .id = head->id };
	struct fragment *known, first = {};
	int err;

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
		p->icmp_type = known->icmp_type;
		if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMP6)
			p->flags |= PKT_ICMP_ECHO;
		return 0;
	}
	err = parse_transport(frame, p);
	if (err)
		return err;
	first.sport = p->sport;
	first.dport = p->dport;
	first.proto = p->proto;
	first.icmp_type = p->icmp_type;
	bpf_map_update_elem(&frags, &key, &first, BPF_ANY);
	return 0;
}

static __always_inline int parse_v4(frame_t *frame, struct pkt *p)
{
	struct fragment_head head;
	struct iphdr ip;
	__u16 frag;

	if (frame_load(frame, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.version != 4 || ip.ihl < 5)
		return DROP_INVALID_PACKET_DROPPED;
	p->l4 = ETH_HLEN + ip.ihl * 4;
	p->proto = ip.protocol;
	p->ttl = ip.ttl;
	addr_set_v4(&p->saddr, ip.saddr);
	addr_set_v4(&p->daddr, ip.daddr);
	frag = bpf_ntohs(ip.frag_off);
	if (!(frag & (IP_MORE_FRAGMENTS | IP_OFFSET_MASK)))
		return parse_transport(frame, p);
	head.id = ip.id;
	head.offset = frag & IP_OFFSET_MASK;
	return parse_fragment(frame, p, &head);
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

static __always_inline int parse_v6(frame_t *frame, struct pkt *p)
{
	struct fragment_head head = {};
	struct ipv6_extension_head ext;
	bool fragmented = false;
	struct ipv6hdr ip;
	int i;

	if (frame_load(frame, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.version != 6)
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
		if (frame_load(frame, p->l4, &ext, sizeof(ext)) < 0)
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
		return parse_fragment(frame, p, &head);
	if (ipv6_is_extension(p->proto))
		return DROP_INVALID_IPV6_EXTENSION_HEADER;
	return parse_transport(frame, p);
}

/* Fills the tuple and what else the header says. Returns 0 or a drop reason. Only for ETH_P_IP and ETH_P_IPV6. */
__noinline int parse(frame_t *frame, struct pkt *p)
{
	if (!p)
		return DROP_INVALID_PACKET_DROPPED;
	p->length = frame_length(frame) - ETH_HLEN;
	p->now = now_sec();
	if (frame_protocol(frame) == bpf_htons(ETH_P_IP))
		return parse_v4(frame, p);
	return parse_v6(frame, p);
}

static __always_inline bool is_ip(frame_t *frame)
{
	return frame_protocol(frame) == bpf_htons(ETH_P_IP) || frame_protocol(frame) == bpf_htons(ETH_P_IPV6);
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
	return config.overlay_ifindex && p->proto == IPPROTO_UDP && p->dport == bpf_htons(VXLAN_PORT);
}
