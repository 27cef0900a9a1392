// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";

/** The hundredths of /proc/uptime, doubled: a smaller difference between the clocks is rounding. */
const roundingNs = 20_000_000n;

/**
 * What to add to CLOCK_BOOTTIME (the datapath's clock) for nanoseconds since the epoch. Taken again now and then, so that
 * flows follow when the wall clock is set.
 */
export function bootOffsetNs(): bigint {
  const monotonic = process.hrtime.bigint();
  const wall = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1_000)) * 1_000n;
  const wallNow = BigInt(Date.now()) * 1_000_000n;
  // performance.now() is finer than Date.now() but does not follow when the clock is set.
  const now = abs(wall - wallNow) < 2_000_000n ? wall : wallNow;
  return now - monotonic - suspendedNs(monotonic);
}

/** How long the machine was suspended since boot: CLOCK_BOOTTIME counts it, CLOCK_MONOTONIC does not. */
function suspendedNs(monotonic: bigint): bigint {
  const seconds = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  const difference = BigInt(Math.round(seconds * 1e9)) - monotonic;
  return abs(difference) < roundingNs ? 0n : difference;
}

function abs(value: bigint): bigint {
  return value < 0n ? -value : value;
}
