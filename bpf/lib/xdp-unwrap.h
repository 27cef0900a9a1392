/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "xdp-forward.h"

/*
 * Answers of other nodes' backends come through the tunnel, to the router address. Those few are unwrapped here; what
 * else the tunnel carries is left to its device.
 */

/* Where the datagram begins that came to the node itself; 0: that is not all there is to it. */
static __always_inline __u32 outer_datagram(frame_t *frame)
{
	struct ipv6hdr ip6;
	struct iphdr ip;

	if (frame_protocol(frame) == bpf_htons(ETH_P_IP)) {
		if (frame_load(frame, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.version != 4 || ip.ihl != 5 ||
		    ip.protocol != IPPROTO_UDP || (ip.frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET_MASK)) ||
		    ip.daddr != config.node_v4.words[3])
			return 0;
		return ETH_HLEN + sizeof(ip);
	}
	if (frame_load(frame, ETH_HLEN, &ip6, sizeof(ip6)) < 0 || ip6.version != 6 || ip6.nexthdr != IPPROTO_UDP ||
	    ip6.daddr.in6_u.u6_addr32[0] != config.node_v6.words[0] ||
	    ip6.daddr.in6_u.u6_addr32[1] != config.node_v6.words[1] ||
	    ip6.daddr.in6_u.u6_addr32[2] != config.node_v6.words[2] ||
	    ip6.daddr.in6_u.u6_addr32[3] != config.node_v6.words[3])
		return 0;
	return ETH_HLEN + sizeof(ip6);
}

/* The frame at `off` is a packet to the router address. */
static __always_inline bool is_for_router(frame_t *frame, __u32 off)
{
	struct addr router, to = {};
	struct ethhdr eth;

	if (frame_load(frame, off, &eth, sizeof(eth)) < 0)
		return false;
	off += sizeof(eth);
	if (eth.h_proto == bpf_htons(ETH_P_IP)) {
		if (frame_load(frame, off + offsetof(struct iphdr, daddr), &to.words[3], 4) < 0)
			return false;
		return to.words[3] == config.router_v4.words[3];
	}
	if (eth.h_proto != bpf_htons(ETH_P_IPV6) ||
	    frame_load(frame, off + offsetof(struct ipv6hdr, daddr), &to, sizeof(to)) < 0)
		return false;
	router = config_address(&config.router_v6);
	return addr_equal(&to, &router);
}

/* How much the tunnel has put in front of a packet to the router address; 0: it is none. Notes who sent it. */
__noinline __u32 wrapping(frame_t *frame, struct pkt *p)
{
	__u32 off = outer_datagram(frame);
	struct vxlan_head vxlan;

	if (!p)
		return 0;
	/* with a checksum it is not from one of us */
	if (!off || frame_load(frame, off, &vxlan, sizeof(vxlan)) < 0 || vxlan.udp.dest != bpf_htons(VXLAN_PORT) ||
	    vxlan.udp.check || vxlan.flags != bpf_htonl(VXLAN_HAS_VNI))
		return 0;
	p->src.identity = bpf_ntohl(vxlan.vni) >> 8;
	off += sizeof(vxlan);
	return p->src.identity && is_for_router(frame, off) ? off : 0;
}
