/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/types.h>

/* An address is 16 bytes in every map and event; IPv4 as v4-mapped (::ffff:a.b.c.d, RFC 4291 2.5.5.2). */
struct addr {
	union {
		__u8 bytes[16];
		__be32 words[4];
		__u64 halves[2];
	};
};
