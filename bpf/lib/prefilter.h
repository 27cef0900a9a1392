/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "parse.h"
#include "report.h"

/*
 * Sources that the node's operator denies (`weft prefilter`), whatever they send and to whom: dropped by the first
 * program that sees them, before more of the packet is looked at than its IP header.
 */

/* Takes from the IP header what the event of a drop says. False: it is too short. */
static __always_inline bool read_ip_header(frame_t *frame, struct pkt *p, bool *fragment)
{
	if (frame_protocol(frame) == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (frame_load(frame, ETH_HLEN, &ip, sizeof(ip)) < 0)
			return false;
		addr_set_v4(&p->saddr, ip.saddr);
		addr_set_v4(&p->daddr, ip.daddr);
		p->proto = ip.protocol;
		p->l4 = ETH_HLEN + ip.ihl * 4;
		*fragment = ip.frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET_MASK);
	} else {
		struct ipv6hdr ip;

		if (frame_load(frame, ETH_HLEN, &ip, sizeof(ip)) < 0)
			return false;
		p->flags |= PKT_V6;
		addr_set_v6(&p->saddr, ip.saddr.in6_u.u6_addr32);
		addr_set_v6(&p->daddr, ip.daddr.in6_u.u6_addr32);
		p->proto = ip.nexthdr;
		p->ttl = ip.hop_limit;
		p->l4 = ETH_HLEN + sizeof(ip);
		*fragment = ipv6_is_extension(p->proto);
	}
	return true;
}

/* Per CIDR, and per CPU: under a flood, processors that share a counter wait for each other. */
static __always_inline void count_denied(const struct ipcache_key *cidr, __u32 length)
{
	struct metric *known, first = { .packets = 1, .bytes = length };
	struct ipcache_key key = *cidr;

	known = bpf_map_lookup_elem(&prefilter_drops, &key);
	if (!known) {
		if (!bpf_map_update_elem(&prefilter_drops, &key, &first, BPF_NOEXIST))
			return;
		known = bpf_map_lookup_elem(&prefilter_drops, &key); /* another processor was first, or it is full */
		if (!known)
			return;
	}
	known->packets++;
	known->bytes += length;
}

/* Between neighbours alone: nobody further away has such a hop limit left (RFC 4861). Without it no router is found. */
static __always_inline bool is_neighbour_discovery(const struct pkt *p)
{
	return p->proto == IPPROTO_ICMP6 && p->ttl == 255 && p->icmp_type >= ICMP6_ROUTER_SOLICITATION &&
	       p->icmp_type <= ICMP6_NEIGHBOUR_ADVERTISEMENT;
}

/* Whether the source is denied; then the drop is all that is left to do. Only for ETH_P_IP and ETH_P_IPV6. */
__noinline int is_denied_source(frame_t *frame, struct pkt *p)
{
	struct ipcache_key key = { .prefixlen = 128 }, *cidr;
	bool fragment = false;
	__u32 zero = 0;
	void *denied;

	if (!p)
		return false;
	denied = bpf_map_lookup_elem(&prefilter, &zero);
	if (!denied || !read_ip_header(frame, p, &fragment))
		return false;
	key.addr = p->saddr;
	cidr = bpf_map_lookup_elem(denied, &key);
	/* both families are in one trie, where IPv4 lies within the short prefixes of IPv6 */
	if (!cidr || (cidr->prefixlen < 96 && !is_v6(p)))
		return false;
	if (!fragment)
		parse_transport(frame, p);
	if (is_v6(p) && is_neighbour_discovery(p))
		return false;
	p->length = frame_length(frame) - ETH_HLEN;
	p->src.identity = is_v6(p) ? config.world_v6 : config.world_v4;
	p->ingress_rule = RULE_PREFILTER;
	p->report.flags |= EVENT_INGRESS;
	count_denied(cidr, p->length);
	return true;
}

/* Without a list it costs one look. */
static __always_inline bool prefilter_denies(frame_t *frame, struct pkt *p)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&prefilter, &zero) && is_ip(frame) && is_denied_source(frame, p);
}
