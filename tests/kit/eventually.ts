// SPDX-License-Identifier: Apache-2.0
import { setTimeout as wait } from "node:timers/promises";

/** Asks again and again until `check` no longer throws. @throws what it threw last, after the deadline */
export async function eventually<T>(check: () => Promise<T> | T, deadlineMs = 20_000): Promise<T> {
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    try {
      return await check();
    } catch (thrown) {
      if (performance.now() > endMs) throw thrown;
      await wait(25);
    }
  }
}
