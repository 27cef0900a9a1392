/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <stdbool.h>
#include <linux/types.h>

/*
 * Drops alike are told up to so many times a second, the rest is counted: a flood of them would fill the ring of
 * events and push out everything else. Far above what refused connections cause by trying again.
 */
#define DROPS_TOLD_PER_SEC 100

struct drop_key {
	__u32 src_identity;
	__u32 dst_identity;
	__be16 dport; /* of what has ports, else 0 */
	__u8 proto;
	__u8 reason; /* enum drop_reason */
};

struct drop_budget {
	__u32 second; /* of CLOCK_MONOTONIC */
	__u32 told;   /* in that second */
	__u32 untold; /* since the last one told */
};

/* Spends from the budget. False: do not tell. *untold: how many like it were kept back before. */
static __always_inline bool drop_budget_spend(struct drop_budget *budget, __u32 now, __u32 *untold)
{
	if (budget->second != now) {
		budget->second = now;
		budget->told = 0;
	}
	if (budget->told >= DROPS_TOLD_PER_SEC) {
		__sync_fetch_and_add(&budget->untold, 1);
		return false;
	}
	budget->told++;
	if (budget->untold)
		*untold = __sync_lock_test_and_set(&budget->untold, 0);
	return true;
}
