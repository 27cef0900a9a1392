/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/* The coarse clock costs a tenth of the fine one and ticks often enough for time-outs in seconds. */
static __always_inline __u32 now_sec(void)
{
	return bpf_ktime_get_coarse_ns() / 1000000000ull;
}
