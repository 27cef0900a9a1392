/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/udp.h>
#include "dsr.h"
#include "forward.h"
#include "identity.h"

/*
 * Direct server return by Geneve (RFC 8926): the packet is the backend's already, an option of the header around it has
 * the frontend, and the node behind which the backend lives is the destination: the network need not know pods nor let
 * options of IP pass. Every packet of a connection goes so. geneve-answer.h is the other end.
 *
 * Inside is IP without Ethernet: the ends are programs of ours, for whom that would be fourteen bytes about nothing.
 */

#define GENEVE_PORT 6081
#define GENEVE_CRITICAL 0x40 /* an option that who does not know it may not ignore */
#define GENEVE_CLASS 0xff57  /* out of those for experiments */
#define GENEVE_FRONTEND 0x81 /* type: critical as well */

/* From UDP on. Of an IPv4 address the first word alone is sent. */
struct geneve {
	struct udphdr udp;
	__u8 words; /* of four bytes, of options */
	__u8 flags;
	__be16 protocol; /* ETH_P_* of what is inside */
	__be32 vni;
	__be16 class;
	__u8 type;
	__u8 option_words;
	__be16 port;
	__u16 pad;
	__be32 addr[4];
} __attribute__((aligned(8)));

#define GENEVE_SIZE_V4 (sizeof(struct geneve) - 12)
#define GENEVE_SIZE_V6 sizeof(struct geneve)
#define GENEVE_WORDS(size) (((size) - offsetof(struct geneve, class)) / 4)

/* Whether the packet goes in this way: of direct connections all but errors, which name the backend already. */
static __always_inline bool goes_by_geneve(const struct pkt *p)
{
	return (config.flags & CONFIG_DSR_GENEVE) && (p->flags & PKT_DSR) && !(p->flags & PKT_ICMP_ERROR);
}

/* The node behind which the backend lives; a backend that is a node, or whose node nobody knows, itself. */
static __always_inline struct addr geneve_end(const struct addr *backend, const struct ipcache_entry *entry)
{
	return entry && !addr_is_zero(&entry->tunnel) ? entry->tunnel : *backend;
}

/* How much the packet grows on its way to the node `to`. */
static __always_inline __u32 geneve_growth(const struct pkt *p, const struct addr *to)
{
	return (addr_is_v4(to) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) +
	       (is_v6(p) ? GENEVE_SIZE_V6 : GENEVE_SIZE_V4);
}

/* As the tunnel, without a checksum (RFC 6935): what is inside has its own. */
static __always_inline long geneve_store_udp(frame_t *frame, const struct pkt *p, const struct nat_key *sent, __u32 off)
{
	__u32 size = is_v6(p) ? GENEVE_SIZE_V6 : GENEVE_SIZE_V4;
	struct geneve head = {
		.udp = { .source = entropy_port(p), .dest = bpf_htons(GENEVE_PORT), .len = bpf_htons(size + p->length) },
		.words = GENEVE_WORDS(size), .flags = GENEVE_CRITICAL,
		.protocol = is_v6(p) ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP),
		.class = bpf_htons(GENEVE_CLASS), .type = GENEVE_FRONTEND, .option_words = GENEVE_WORDS(size) - 1,
		.port = sent->dport,
	};

	if (is_v6(p)) {
		__builtin_memcpy(head.addr, sent->daddr.words, 16);
		return frame_store(frame, off, &head, GENEVE_SIZE_V6, BPF_F_RECOMPUTE_CSUM);
	}
	head.addr[0] = sent->daddr.words[3];
	return frame_store(frame, off, &head, GENEVE_SIZE_V4, BPF_F_RECOMPUTE_CSUM);
}

/* Writes what leads to the node `to` into the room there is for it behind Ethernet's header: sent has the frontend. 0 or -1. */
__noinline int geneve_store(frame_t *frame, struct pkt *p, const struct nat_key *sent, const struct addr *to)
{
	__u32 length;
	struct addr from;

	if (!p || !sent || !to)
		return -1;
	from = node_address_beside(to);
	length = p->length + (is_v6(p) ? GENEVE_SIZE_V6 : GENEVE_SIZE_V4);
	if (addr_is_v4(to)) {
		struct iphdr ip = outer_ipv4(&from, to, IPPROTO_UDP, length);

		if (frame_store(frame, ETH_HLEN, &ip, sizeof(ip), 0) < 0)
			return -1;
		return geneve_store_udp(frame, p, sent, ETH_HLEN + sizeof(ip));
	} else {
		struct ipv6hdr ip = outer_ipv6(&from, to, IPPROTO_UDP, length);

		if (frame_store(frame, ETH_HLEN, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM) < 0)
			return -1;
		return geneve_store_udp(frame, p, sent, ETH_HLEN + sizeof(ip));
	}
}
