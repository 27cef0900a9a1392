// SPDX-License-Identifier: Apache-2.0

/** Chance that a seed gives again. */
export interface Dice {
  /** An integer of [0, n). */
  below(n: number): number;
  pick<T>(list: readonly T[]): T;
  times<T>(count: number, make: () => T): T[];
}

/** Mulberry32. */
export function dice(seed: number): Dice {
  let state = seed >>> 0;
  const below = (n: number) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % n;
  };
  return {
    below,
    pick: (list) => list[below(list.length)]!,
    times: (count, make) => Array.from({ length: count }, make),
  };
}
