/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "packet.h"
#include "parse.h"
#include "translate.h"
#include "conntrack.h"
#include "nat.h"

/*
 * Direct server return: a backend on another node sees the client's own address and answers the client itself. Its node
 * is told in the IP header for which frontend: once with TCP (the SYN), with every datagram that has room otherwise.
 * See dsr-answer.h for what it does with that.
 */

/* Option types for experiments (RFC 4727): copied with fragments; skipped by who does not know it. */
#define DSR_OPTION_V4 158
#define DSR_OPTION_V6 0x1e

struct dsr_v4 {
	__u8 type;
	__u8 length;
	__be16 port;
	__be32 addr;
};

/* A destination options header with the one option. */
struct dsr_v6 {
	__u8 next;
	__u8 words; /* of eight bytes, after the first */
	__u8 type;
	__u8 length;
	__be16 port;
	__u16 pad;
	struct addr addr;
};

#define DSR_WORDS_V6 (sizeof(struct dsr_v6) / 8 - 1)
#define DSR_LENGTH_V6 (sizeof(struct dsr_v6) - offsetof(struct dsr_v6, port))
#define IPV4_OPTIONS (ETH_HLEN + sizeof(struct iphdr))
#define IPV6_EXTENSIONS (ETH_HLEN + sizeof(struct ipv6hdr))
#define IPV4_LONGEST_WORDS 15

static __always_inline __u32 dsr_size(const struct pkt *p)
{
	return is_v6(p) ? sizeof(struct dsr_v6) : sizeof(struct dsr_v4);
}

/*
 * How much the packet grows on its way to the backend, for which there are `room` bytes beside it. Who has been told
 * does not need a datagram's option.
 */
static __always_inline __u32 dsr_growth(const struct pkt *p, bool told, __u32 length, __u32 room)
{
	if (!(p->flags & PKT_DSR) || (p->flags & PKT_LATER_FRAGMENT))
		return 0;
	if (p->proto == IPPROTO_TCP)
		return begins_tcp(p) ? dsr_size(p) : 0;
	return told && length + dsr_size(p) > room ? 0 : dsr_size(p);
}

static __always_inline int dsr_tell_v4(frame_t *frame, const struct nat_key *sent)
{
	const __u32 check = ETH_HLEN + offsetof(struct iphdr, check);
	struct dsr_v4 option = {
		.type = DSR_OPTION_V4, .length = sizeof(option), .port = sent->dport, .addr = sent->daddr.words[3],
	};
	union {
		__be32 word;
		struct {
			__u8 version_words;
			__u8 tos;
			__be16 length;
		};
	} was, is;

	if (frame_load(frame, ETH_HLEN, &was, sizeof(was)) < 0 ||
	    (was.version_words & IPV4_LONGEST_WORDS) + sizeof(option) / 4 > IPV4_LONGEST_WORDS)
		return -1;
	is = was;
	is.version_words += sizeof(option) / 4;
	is.length = bpf_htons(bpf_ntohs(was.length) + sizeof(option));
	if (frame_open(frame, IPV4_OPTIONS, sizeof(option)) < 0 ||
	    frame_store(frame, ETH_HLEN, &is, sizeof(is), 0) < 0 ||
	    frame_store(frame, IPV4_OPTIONS, &option, sizeof(option), 0) < 0)
		return -1;
	if (frame_fix_l3(frame, check, was.word, is.word, 4) < 0)
		return -1;
	return frame_fix_l3(frame, check, 0, bpf_csum_diff(NULL, 0, (__be32 *)&option, sizeof(option), 0), 0);
}

static __always_inline int dsr_tell_v6(frame_t *frame, const struct nat_key *sent)
{
	const __u32 at = ETH_HLEN + offsetof(struct ipv6hdr, payload_len);
	struct dsr_v6 option = {
		.words = DSR_WORDS_V6, .type = DSR_OPTION_V6, .length = DSR_LENGTH_V6, .port = sent->dport,
		.addr = sent->daddr,
	};
	struct {
		__be16 length;
		__u8 next;
		__u8 hops;
	} head;

	/* hop-by-hop options must come first (RFC 8200 4.1) */
	if (frame_load(frame, at, &head, sizeof(head)) < 0 || head.next == IPV6_HOP_BY_HOP)
		return -1;
	option.next = head.next;
	head.next = IPV6_DESTINATION;
	head.length = bpf_htons(bpf_ntohs(head.length) + sizeof(option));
	if (frame_open(frame, IPV6_EXTENSIONS, sizeof(option)) < 0 ||
	    frame_store(frame, at, &head, sizeof(head), BPF_F_RECOMPUTE_CSUM) < 0)
		return -1;
	return frame_store(frame, IPV6_EXTENSIONS, &option, sizeof(option), BPF_F_RECOMPUTE_CSUM);
}

/* Puts the frontend the packet was sent to, as `sent`, into its header. 0 or a drop reason. */
__noinline int dsr_tell(frame_t *frame, struct pkt *p, const struct nat_key *sent)
{
	if (!p || !sent || (is_v6(p) ? dsr_tell_v6(frame, sent) : dsr_tell_v4(frame, sent)) < 0)
		return DROP_ERROR_WRITING_TO_PACKET;
	p->l4 += dsr_size(p);
	p->length += dsr_size(p);
	return 0;
}

/* The packet's header is long enough to say a frontend. */
static __always_inline bool dsr_has_room(const struct pkt *p)
{
	return p->l4 >= (is_v6(p) ? IPV6_EXTENSIONS + sizeof(struct dsr_v6) : IPV4_OPTIONS + sizeof(struct dsr_v4));
}

static __always_inline bool dsr_read_v4(frame_t *frame, struct peer *frontend)
{
	struct dsr_v4 option;

	if (frame_load(frame, IPV4_OPTIONS, &option, sizeof(option)) < 0 ||
	    option.type != DSR_OPTION_V4 || option.length != sizeof(option))
		return false;
	addr_set_v4(&frontend->addr, option.addr);
	frontend->port = option.port;
	return true;
}

static __always_inline bool dsr_read_v6(frame_t *frame, struct peer *frontend)
{
	struct dsr_v6 option;
	__u8 next;

	if (frame_load(frame, ETH_HLEN + offsetof(struct ipv6hdr, nexthdr), &next, 1) < 0 || next != IPV6_DESTINATION ||
	    frame_load(frame, IPV6_EXTENSIONS, &option, sizeof(option)) < 0 || option.words != DSR_WORDS_V6 ||
	    option.type != DSR_OPTION_V6 || option.length != DSR_LENGTH_V6)
		return false;
	frontend->addr = option.addr;
	frontend->port = option.port;
	return !addr_is_v4(&frontend->addr);
}

/* The frontend the packet was sent to, if it says so. */
static __always_inline bool dsr_read(frame_t *frame, const struct pkt *p, struct peer *frontend)
{
	if (!dsr_has_room(p))
		return false;
	return is_v6(p) ? dsr_read_v6(frame, frontend) : dsr_read_v4(frame, frontend);
}
