/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/udp.h>
#include "packet.h"
#include "forward.h"
#include "identity.h"
#include "report.h"

/* Out by the device the packet came in by. */

/* The way between two addresses of the underlay, one hop of it. */
struct way {
	struct addr from;
	struct addr to;
	struct macs macs; /* found by leads_back, as is */
	__u16 mtu;
	__u8 tunnelled;
	__u8 growth;      /* bytes by which the packet tells the backend's node of its frontend */
	__u32 length;     /* of what is to be sent, IP header on */
};

/* The node's routes lead there by the frame's own device and a neighbour that is known; all else is the stack's. */
__noinline int leads_back(frame_t *frame, struct pkt *p, struct way *way)
{
	struct bpf_fib_lookup fib = {};

	if (!p || !way)
		return false;
	fib.ifindex = frame_ifindex(frame);
	fib.l4_protocol = p->proto;
	fib.tot_len = way->length;
	fib_between(&fib, &way->from, &way->to);
	if (bpf_fib_lookup(frame, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS ||
	    fib.ifindex != frame_ifindex(frame))
		return false;
	__builtin_memcpy(way->macs.dst, fib.dmac, 6);
	__builtin_memcpy(way->macs.src, fib.smac, 6);
	way->mtu = fib.mtu_result;
	return true;
}

/* An enum xdp_action, as of all that follow. */
static __always_inline int send_back(frame_t *frame, struct pkt *p, const struct macs *macs)
{
	if (frame_store(frame, 0, macs, sizeof(*macs), 0) < 0)
		return drop(frame, p, DROP_ERROR_WRITING_TO_PACKET);
	forwarded(frame, p, TRACE_TO_NETWORK);
	return XDP_TX;
}

/* RFC 7348 5. */
struct vxlan_head {
	struct udphdr udp;
	__be32 flags;
	__be32 vni;
};

#define VXLAN_HAS_VNI 0x08000000

struct outer_v4 {
	struct iphdr ip;
	struct vxlan_head vxlan;
};

struct outer_v6 {
	struct ipv6hdr ip;
	struct vxlan_head vxlan;
};

/* length: of the inner frame. No checksum, as the tunnel's device sends none. */
static __always_inline void fill_vxlan(const struct pkt *p, struct vxlan_head *vxlan, __u32 length)
{
	vxlan->udp.source = entropy_port(p);
	vxlan->udp.dest = bpf_htons(VXLAN_PORT);
	vxlan->udp.len = bpf_htons(sizeof(*vxlan) + length);
	vxlan->udp.check = 0;
	vxlan->flags = bpf_htonl(VXLAN_HAS_VNI);
	vxlan->vni = bpf_htonl(identity_on_wire(p, p->src.identity) << 8);
}

/* Room of VXLAN_OVERHEAD_* in front of the frame, with the outer MACs in it already. */
static __always_inline int make_room(frame_t *frame, const struct way *way, __u16 protocol, int room)
{
	struct ethhdr eth __attribute__((aligned(8)));

	__builtin_memcpy(&eth, &way->macs, sizeof(way->macs));
	eth.h_proto = bpf_htons(protocol);
	return bpf_xdp_adjust_head(frame, -room) < 0 || frame_store(frame, 0, &eth, sizeof(eth), 0) < 0;
}

static __noinline int wrap_v4(frame_t *frame, const struct pkt *p, const struct way *way)
{
	__u32 inner = frame_length(frame);
	struct outer_v4 outer __attribute__((aligned(8)));

	outer.ip = outer_ipv4(&way->from, &way->to, IPPROTO_UDP, sizeof(outer.vxlan) + inner);
	fill_vxlan(p, &outer.vxlan, inner);
	if (make_room(frame, way, ETH_P_IP, VXLAN_OVERHEAD_V4))
		return -1;
	return frame_store(frame, ETH_HLEN, &outer, sizeof(outer), 0);
}

static __noinline int wrap_v6(frame_t *frame, const struct pkt *p, const struct way *way)
{
	__u32 inner = frame_length(frame);
	struct outer_v6 outer __attribute__((aligned(8)));

	outer.ip = outer_ipv6(&way->from, &way->to, IPPROTO_UDP, sizeof(outer.vxlan) + inner);
	fill_vxlan(p, &outer.vxlan, inner);
	if (make_room(frame, way, ETH_P_IPV6, VXLAN_OVERHEAD_V6))
		return -1;
	return frame_store(frame, ETH_HLEN, &outer, sizeof(outer), 0);
}

/* Through VXLAN to another node, with the sender's identity as the VNI. */
__noinline int send_wrapped(frame_t *frame, struct pkt *p, const struct way *way)
{
	int failed;

	if (!p || !way)
		return XDP_DROP;
	failed = addr_is_v4(&way->to) ? wrap_v4(frame, p, way) : wrap_v6(frame, p, way);
	if (failed)
		return drop(frame, p, DROP_NO_TUNNEL_OR_ENCAPSULATION_ENDPOINT);
	p->flags |= PKT_TUNNEL;
	forwarded(frame, p, TRACE_TO_OVERLAY);
	return XDP_TX;
}

