// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "#lib/clock.ts";

/** A clock that moves only when told to. */
export interface FakeClock extends Clock {
  /** Runs every timer that falls due, in order, and lets what they woke run. */
  advance(ms: number): Promise<void>;
  /** Times left until each pending timer fires, in milliseconds, ascending. */
  pending(): number[];
}

export function fakeClock(startMs = 1_000_000): FakeClock {
  let now = startMs;
  const timers = new Set<{ at: number; callback: () => void }>();
  return {
    now: () => now,
    after(ms, callback) {
      const timer = { at: now + ms, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    pending: () => [...timers].map((timer) => timer.at - now).sort((a, b) => a - b),
    async advance(ms) {
      const end = now + ms;
      for (;;) {
        await idle();
        const next = [...timers].sort((a, b) => a.at - b.at)[0];
        if (!next || next.at > end) break;
        timers.delete(next);
        now = next.at;
        next.callback();
      }
      now = end;
      await idle();
    },
  };
}

/** Lets everything that is ready to run do so: some turns of the event loop, without any waiting. */
export async function idle(turns = 5): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}
