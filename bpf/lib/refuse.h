/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "packet.h"
#include "report.h"
#include "translate.h"
#include "deliver.h"

/*
 * Who asks for a service without backends is told that nobody answers: TCP by a reset, everything else by ICMP "port
 * unreachable". The packet itself becomes the answer and goes back where it came from.
 */
#define REFUSAL_TTL 64

struct tcp_head {
	__be16 sport;
	__be16 dport;
	__be32 seq;
	__be32 ack;
	__u8 offset;
	__u8 flags;
	__be16 window;
};

/* RFC 9293 3.10.7.1: a reset the sender accepts. Options and data stay: the checksum follows by difference. */
static __always_inline int make_reset(struct __sk_buff *skb, struct pkt *p)
{
	struct tcp_head in, out = {};
	__u32 taken;

	if (bpf_skb_load_bytes(skb, p->l4, &in, sizeof(in)) < 0)
		return -1;
	taken = p->length - (p->l4 - ETH_HLEN) - p->l4_words * 4 + !!(in.flags & TCP_SYN) + !!(in.flags & TCP_FIN);
	out.sport = in.dport;
	out.dport = in.sport;
	out.offset = in.offset;
	if (in.flags & TCP_ACK) {
		out.seq = in.ack;
		out.flags = TCP_RST;
	} else {
		out.ack = bpf_htonl(bpf_ntohl(in.seq) + taken);
		out.flags = TCP_RST | TCP_ACK;
	}
	if (bpf_l4_csum_replace(skb, p->l4 + checksum_offset(IPPROTO_TCP), 0,
				bpf_csum_diff((__be32 *)&in, sizeof(in), (__be32 *)&out, sizeof(out), 0), 0) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, p->l4, &out, sizeof(out), 0);
}

/* Addresses change places, which no checksum notices. */
static __always_inline int turn_round(struct __sk_buff *skb, struct pkt *p)
{
	struct addr to = p->saddr, from = p->daddr;
	__u32 source = address_offset(p, ETH_HLEN, SIDE_SOURCE), destination = address_offset(p, ETH_HLEN, SIDE_DESTINATION);

	if (is_v6(p))
		return bpf_skb_store_bytes(skb, source, &from, 16, 0) < 0 ||
		       bpf_skb_store_bytes(skb, destination, &to, 16, 0) < 0;
	return bpf_skb_store_bytes(skb, source, &from.words[3], 4, 0) < 0 ||
	       bpf_skb_store_bytes(skb, destination, &to.words[3], 4, 0) < 0;
}

struct icmp_head {
	__u8 type;
	__u8 code;
	__u16 csum;
	__be32 more; /* what the type says it is */
};

struct l4_head {
	__be16 sport;
	__be16 dport;
	__be32 more;
};

/* The packet an error is about, as p has it: where that is not what stands in the frame, its sender knows no other. */
static __always_inline void about_ports(const struct pkt *p, struct l4_head *l4)
{
	if (!is_port_protocol(p->proto))
		return;
	l4->sport = p->sport;
	l4->dport = p->dport;
}

struct icmp4_error {
	struct iphdr ip;
	struct icmp_head icmp;
	struct iphdr about; /* without its options */
	struct l4_head l4;
};

static __always_inline int make_error_v4(struct __sk_buff *skb, struct pkt *p, const struct icmp_head *icmp)
{
	struct icmp4_error r = {
		.ip = { .version = 4, .ihl = 5, .tos = 0xc0, .tot_len = bpf_htons(sizeof(r)), .ttl = REFUSAL_TTL,
			.protocol = IPPROTO_ICMP, .saddr = p->daddr.words[3], .daddr = p->saddr.words[3] },
		.icmp = *icmp,
	};
	__u32 options = p->l4 - ETH_HLEN - sizeof(struct iphdr);

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &r.about, sizeof(r.about)) < 0 ||
	    bpf_skb_load_bytes(skb, p->l4, &r.l4, sizeof(r.l4)) < 0)
		return -1;
	r.about.ihl = 5;
	r.about.tot_len = bpf_htons(bpf_ntohs(r.about.tot_len) - options);
	r.about.saddr = p->saddr.words[3];
	r.about.daddr = p->daddr.words[3];
	r.about.check = 0;
	r.about.check = csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&r.about, sizeof(r.about), 0));
	about_ports(p, &r.l4);
	r.ip.check = csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&r.ip, sizeof(r.ip), 0));
	r.icmp.csum = csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&r.icmp, sizeof(r) - sizeof(r.ip), 0));
	if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(r), 0) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &r, sizeof(r), BPF_F_RECOMPUTE_CSUM);
}

struct icmp6_error {
	struct ipv6hdr ip;
	struct icmp_head icmp;
	struct ipv6hdr about; /* without extension headers */
	struct l4_head l4;
};

#define ICMP6_ERROR_LENGTH (sizeof(struct icmp6_error) - sizeof(struct ipv6hdr))

static __always_inline int make_error_v6(struct __sk_buff *skb, struct pkt *p, const struct icmp_head *icmp)
{
	struct icmp6_error r = {
		.ip = { .version = 6, .payload_len = bpf_htons(ICMP6_ERROR_LENGTH), .nexthdr = IPPROTO_ICMP6,
			.hop_limit = REFUSAL_TTL },
		.icmp = *icmp,
	};
	/* of the pseudo header: length and next header, as 32-bit words */
	__be32 pseudo[2] = { bpf_htonl(ICMP6_ERROR_LENGTH), bpf_htonl(IPPROTO_ICMP6) };
	__u32 extensions = p->l4 - ETH_HLEN - sizeof(struct ipv6hdr);
	__s64 sum;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &r.about, sizeof(r.about)) < 0 ||
	    bpf_skb_load_bytes(skb, p->l4, &r.l4, sizeof(r.l4)) < 0)
		return -1;
	r.about.nexthdr = p->proto;
	r.about.payload_len = bpf_htons(bpf_ntohs(r.about.payload_len) - extensions);
	__builtin_memcpy(&r.about.saddr, &p->saddr, 16);
	__builtin_memcpy(&r.about.daddr, &p->daddr, 16);
	about_ports(p, &r.l4);
	__builtin_memcpy(&r.ip.saddr, &p->daddr, 16);
	__builtin_memcpy(&r.ip.daddr, &p->saddr, 16);
	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&r.ip.saddr, 32, sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&r.icmp, ICMP6_ERROR_LENGTH, sum);
	r.icmp.csum = csum_fold(sum);
	if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(r), 0) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &r, sizeof(r), BPF_F_RECOMPUTE_CSUM);
}

/* The packet becomes an ICMP error about it, from whom p says it was sent to. 0 or -1. */
__noinline int make_error(struct __sk_buff *skb, struct pkt *p, const struct icmp_head *icmp)
{
	if (!p || !icmp)
		return -1;
	return is_v6(p) ? make_error_v6(skb, p, icmp) : make_error_v4(skb, p, icmp);
}

/* The same, "destination unreachable". */
static __always_inline int make_unreachable(struct __sk_buff *skb, struct pkt *p, __u8 code_v4, __u8 code_v6)
{
	struct icmp_head icmp = { .type = ICMP4_UNREACHABLE, .code = code_v4 };

	if (is_v6(p)) {
		icmp.type = ICMP6_UNREACHABLE;
		icmp.code = code_v6;
	}
	return make_error(skb, p, &icmp);
}

/* The same, for a packet that is longer than the way to the backend carries: RFC 1191, RFC 4443 3.2. */
static __always_inline int make_too_big(struct __sk_buff *skb, struct pkt *p, __u32 mtu)
{
	struct icmp_head icmp = { .type = ICMP4_UNREACHABLE, .code = ICMP4_TOO_BIG, .more = bpf_htonl(mtu) };

	if (is_v6(p)) {
		icmp.type = ICMP6_TOO_BIG;
		icmp.code = 0;
	}
	return make_error(skb, p, &icmp);
}

/* Not in answer to what must not be answered: resets, ICMP errors, fragments without a head. */
static __always_inline bool may_answer(const struct pkt *p)
{
	return !(p->tcp_flags & TCP_RST) && !(p->flags & (PKT_LATER_FRAGMENT | PKT_ICMP_ERROR));
}

static __always_inline int read_way_back(struct __sk_buff *skb, struct macs *back)
{
	struct macs macs;

	if (bpf_skb_load_bytes(skb, 0, &macs, sizeof(macs)) < 0)
		return -1;
	__builtin_memcpy(back->dst, macs.src, 6);
	__builtin_memcpy(back->src, macs.dst, 6);
	return 0;
}

/* The answer in place of the packet, addressed to its sender. False: there is none. */
__noinline int make_refusal(struct __sk_buff *skb, struct pkt *p)
{
	struct macs back;

	if (!p || !(config.flags & CONFIG_REFUSE) || !may_answer(p) || read_way_back(skb, &back))
		return false;
	if (p->proto == IPPROTO_TCP) {
		if (make_reset(skb, p) || turn_round(skb, p) || write_ttl(skb, p, REFUSAL_TTL))
			return false;
	} else if (make_unreachable(skb, p, ICMP4_PORT, ICMP6_PORT)) {
		return false;
	}
	return bpf_skb_store_bytes(skb, 0, &back, sizeof(back), 0) == 0;
}
