/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/types.h>

/*
 * One policy is one LPM trie: identity and direction always match whole, protocol and port as a prefix.
 * A packet is looked up twice, under its peer's identity and under 0 (any); the higher precedence wins. Where nothing is found, or what is
 * found yields, it is looked up a third time, under the identity of the block that its peer's address is in. Where what wins then passes,
 * all of it is done once more, in the second round.
 */
struct policy_key {
	__u32 prefixlen; /* POLICY_BITS_FIXED, + 8 with protocol, + 8 + n with n leading bits of the port */
	__u32 identity;  /* the peer's; 0: any */
	__u8 direction;  /* enum policy_direction, with the bits of enum policy_round */
	__u8 proto;      /* IPPROTO_* */
	__be16 port;     /* destination port; for ICMP and ICMPv6 the type as a 16-bit number */
};

struct policy_entry {
	__u32 precedence; /* higher wins, the bits of policy_precedence aside; on a tie the peer identity's own entry */
	__u32 rule;       /* names the rules the entry comes from; travels in flow events */
	__be16 proxy_port; /* 0: none */
	__u8 verdict;     /* enum policy_verdict */
	__u8 auth;        /* reserved, 0 */
	__u32 pad;
};

enum policy_direction { POLICY_INGRESS = 0, POLICY_EGRESS = 1 };
enum policy_round {
	POLICY_ROUND_SECOND = 2,
	POLICY_ROUND_AUDIT = 4, /* with what policies in audit deny: asked where what is enforced allows */
	POLICY_ROUND_SELF = 128, /* no round: one element, under identity 0, that says of the policy itself: see below */
};
enum policy_verdict {
	POLICY_ALLOW = 1,
	POLICY_DENY = 2,
	POLICY_PASS = 3, /* the second round decides; only in the first */
};
enum policy_precedence {
	POLICY_EXPLICIT = 1, /* a rule says so; clear: a default, whose rule names who isolates */
	POLICY_YIELDS = 2,   /* what is said of the block may go first */
	POLICY_PLACE_SHIFT = 2,
};
/*
 * The element of the policy itself: its rule is the policy's revision, its precedence the ENDPOINT_* flags that come with it. A policy and its
 * endpoints are written one after the other; a packet in between goes by what the policy says. While entries are written in place
 * the revision is 0, so that what is judged meanwhile is judged again.
 */
enum policy_bits { POLICY_BITS_FIXED = 40, POLICY_BITS_PROTO = 48, POLICY_BITS_PORT = 64 };
