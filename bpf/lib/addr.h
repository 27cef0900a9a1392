/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <stdbool.h>
#include <linux/types.h>

/* An address is 16 bytes in every map and event; IPv4 as v4-mapped (::ffff:a.b.c.d, RFC 4291 2.5.5.2). */
struct addr {
	union {
		__u8 bytes[16];
		__be32 words[4];
		__u64 halves[2];
	};
};

/* The third word of a v4-mapped address, as it lies in memory on a little-endian machine. */
#define V4_MAPPED_WORD 0xffff0000u

static __always_inline void addr_set_v4(struct addr *a, __be32 v4)
{
	a->halves[0] = 0;
	a->words[2] = V4_MAPPED_WORD;
	a->words[3] = v4;
}

static __always_inline void addr_set_v6(struct addr *a, const __be32 *words)
{
	a->words[0] = words[0];
	a->words[1] = words[1];
	a->words[2] = words[2];
	a->words[3] = words[3];
}

static __always_inline bool addr_is_v4(const struct addr *a)
{
	return a->halves[0] == 0 && a->words[2] == V4_MAPPED_WORD;
}

static __always_inline bool addr_is_zero(const struct addr *a)
{
	return (a->halves[0] | a->halves[1]) == 0;
}

static __always_inline bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->halves[0] == b->halves[0] && a->halves[1] == b->halves[1];
}
