/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#pragma once
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/* The tick somebody asked the clock in last, in the upper half; what it said, in the lower one. */
static volatile __u64 tick_and_second;

/*
 * Seconds of CLOCK_MONOTONIC, by the coarse clock: it goes on with the kernel's ticks, often enough for time-outs. It is
 * asked once a tick; which tick it is can be read without a call.
 */
static __always_inline __u32 now_sec(void)
{
	__u32 tick = bpf_jiffies64();
	__u64 known = tick_and_second;
	__u32 now;

	if (known >> 32 == tick)
		return known;
	now = bpf_ktime_get_coarse_ns() / 1000000000ull;
	tick_and_second = (__u64)tick << 32 | now;
	return now;
}
