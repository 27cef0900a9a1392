/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <stddef.h>
#include "packet.h"
#include "csum.h"
#include "parse.h"
#include "embedded.h"

/* An address with its port. */
struct peer {
	struct addr addr;
	__be16 port;
	__u8 pad[6];
};

enum side { SIDE_SOURCE = 0, SIDE_DESTINATION = 1 };

/* Offset of the transport checksum, -1: the protocol has none we can fix by difference. */
static __always_inline int checksum_offset(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	case IPPROTO_ICMP:
	case IPPROTO_ICMP6:
		return 2;
	default:
		return -1;
	}
}

static __always_inline __u32 address_offset(const struct pkt *p, __u32 l3, __u32 side)
{
	if (is_v6(p))
		return l3 + offsetof(struct ipv6hdr, saddr) + side * 16;
	return l3 + offsetof(struct iphdr, saddr) + side * 4;
}

/*
 * Writes an address into the IP header. The checksums that cover it follow: IPv4's own, and the transport's
 * pseudo header (not ICMPv4's, which has none). In IPv6 the skb's own sum must be told of the address (no header
 * checksum balances it); the transport's update then takes it back out.
 */
static __always_inline int write_address(frame_t *frame, struct pkt *p, enum side side, const struct addr *from,
					 const struct addr *to)
{
	__u32 off = address_offset(p, ETH_HLEN, side);
	int l4_csum = checksum_offset(p->proto);
	__u64 flags = BPF_F_PSEUDO_HDR;
	struct addr was = *from, is = *to;
	__s64 diff;

	if (is_v6(p)) {
		if (frame_store(frame, off, &is, 16, BPF_F_RECOMPUTE_CSUM) < 0)
			return DROP_ERROR_WRITING_TO_PACKET;
		diff = bpf_csum_diff(was.words, 16, is.words, 16, 0);
	} else {
		if (frame_store(frame, off, &is.words[3], 4, 0) < 0)
			return DROP_ERROR_WRITING_TO_PACKET;
		if (frame_fix_l3(frame, ETH_HLEN + offsetof(struct iphdr, check), was.words[3], is.words[3],
					4) < 0)
			return DROP_ERROR_WHILE_CORRECTING_L3_CHECKSUM;
		diff = bpf_csum_diff(&was.words[3], 4, &is.words[3], 4, 0);
	}
	if (l4_csum < 0 || p->proto == IPPROTO_ICMP || (p->flags & PKT_LATER_FRAGMENT))
		return 0;
	if (p->proto == IPPROTO_UDP)
		flags |= BPF_F_MARK_MANGLED_0;
	if (frame_fix_l4(frame, p->l4 + l4_csum, 0, diff, flags) < 0)
		return DROP_ERROR_WHILE_CORRECTING_L4_CHECKSUM;
	return 0;
}

static __always_inline int write_port(frame_t *frame, struct pkt *p, enum side side, __be16 from, __be16 to)
{
	__u32 off = p->l4 + (p->flags & PKT_ICMP_ECHO ? 4 : side * 2);
	int l4_csum = checksum_offset(p->proto);
	__u64 flags = 2;

	if (from == to || (p->flags & PKT_LATER_FRAGMENT))
		return 0;
	if (l4_csum < 0)
		return DROP_UNSUPPORTED_PROTOCOL_FOR_NAT_MASQUERADE;
	if (p->proto == IPPROTO_UDP)
		flags |= BPF_F_MARK_MANGLED_0;
	if (frame_fix_l4(frame, p->l4 + l4_csum, from, to, flags) < 0)
		return DROP_ERROR_WHILE_CORRECTING_L4_CHECKSUM;
	if (frame_store(frame, off, &to, sizeof(to), 0) < 0)
		return DROP_ERROR_WRITING_TO_PACKET;
	return 0;
}

/* Gives the packet another source, in the header only: p still tells who really sent it. 0 or a drop reason. */
__noinline int show_source(frame_t *frame, struct pkt *p, const struct addr *addr, __be16 port)
{
	int reason;

	if (!p || !addr)
		return DROP_ERROR_WRITING_TO_PACKET;
	reason = write_address(frame, p, SIDE_SOURCE, &p->saddr, addr);
	return reason ? reason : write_port(frame, p, SIDE_SOURCE, p->sport, port);
}

/* Gives the packet another destination. 0 or a drop reason. */
__noinline int set_destination(frame_t *frame, struct pkt *p, const struct addr *addr, __be16 port)
{
	int reason;

	if (!p || !addr)
		return DROP_ERROR_WRITING_TO_PACKET;
	reason = write_address(frame, p, SIDE_DESTINATION, &p->daddr, addr);
	if (!reason)
		reason = write_port(frame, p, SIDE_DESTINATION, p->dport, port);
	p->daddr = *addr;
	p->dport = port;
	if (p->flags & PKT_ICMP_ECHO) /* one id, which stands for both */
		p->sport = port;
	return reason;
}

/* Writes into the body of an ICMP error and keeps its checksum right. */
static __always_inline int write_embedded(frame_t *frame, struct pkt *p, __u32 off, void *was, void *is,
					  __u32 size)
{
	__s64 diff = bpf_csum_diff(was, size, is, size, 0);

	if (frame_store(frame, off, is, size, 0) < 0)
		return DROP_ERROR_WRITING_TO_PACKET;
	if (frame_fix_l4(frame, p->l4 + 2, 0, diff, 0) < 0)
		return DROP_ERROR_WHILE_CORRECTING_L4_CHECKSUM;
	return 0;
}

/* The embedded IPv4 header's own checksum after an address changed. */
static __always_inline int fix_embedded_header(frame_t *frame, struct pkt *p, const struct embedded *e,
					       __be32 was, __be32 is)
{
	__u32 words[2] = {}, off = e->l3 + 8; /* ttl, protocol, checksum */
	__u32 sum;

	if (frame_load(frame, off, &words[0], 4) < 0)
		return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
	sum = (__u16)~(words[0] >> 16);
	sum = bpf_csum_diff(&was, 4, &is, 4, sum);
	words[1] = (words[0] & 0xffff) | ((__u32)csum_fold(sum) << 16);
	return write_embedded(frame, p, off, &words[0], &words[1], 4);
}

/*
 * An ICMP error's embedded packet gets another address and port on one side (enum side). Its transport checksum is
 * left: most errors carry eight bytes of it, receivers match by addresses and ports. 0 or a drop reason.
 */
__noinline int set_embedded(frame_t *frame, struct pkt *p, const struct embedded *e, __u32 side,
			    const struct peer *to)
{
	__be16 ports[4] = {};
	struct addr was, is;
	int reason;

	if (!p || !e || !to)
		return DROP_ERROR_WRITING_TO_PACKET;
	was = side == SIDE_SOURCE ? e->saddr : e->daddr;
	is = to->addr;
	if (is_v6(p))
		reason = write_embedded(frame, p, address_offset(p, e->l3, side), was.words, is.words, 16);
	else
		reason = write_embedded(frame, p, address_offset(p, e->l3, side), &was.words[3], &is.words[3], 4);
	if (!reason && !is_v6(p))
		reason = fix_embedded_header(frame, p, e, was.words[3], is.words[3]);
	if (reason || checksum_offset(e->proto) < 0)
		return reason;
	if (e->proto == IPPROTO_ICMP || e->proto == IPPROTO_ICMP6) { /* id and sequence number */
		if (frame_load(frame, e->l4 + 4, ports, 4) < 0)
			return DROP_CT_TRUNCATED_OR_INVALID_HEADER;
		ports[2] = to->port;
		ports[3] = ports[1];
		return write_embedded(frame, p, e->l4 + 4, &ports[0], &ports[2], 4);
	}
	ports[0] = e->sport;
	ports[1] = e->dport;
	ports[2] = side == SIDE_SOURCE ? to->port : e->sport;
	ports[3] = side == SIDE_SOURCE ? e->dport : to->port;
	return write_embedded(frame, p, e->l4, &ports[0], &ports[2], 4);
}
