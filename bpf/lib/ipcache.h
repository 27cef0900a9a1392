/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include "layout.h"
#include "addr.h"

/* Longest-prefix match: address -> identity and, for what lives behind another node, that node. */
struct LAYOUT(1) ipcache_key {
	__u32 prefixlen; /* 0..128; IPv4 prefixes are 96 bits longer than written */
	struct addr addr; /* directly behind prefixlen, as an LPM trie wants it: hence packed */
} __attribute__((packed, aligned(4)));

struct LAYOUT(1) ipcache_entry {
	__u32 identity;
	__u32 flags; /* reserved, 0 */
	struct addr tunnel; /* underlay address of the node to encapsulate to; all zero: nothing is */
};
