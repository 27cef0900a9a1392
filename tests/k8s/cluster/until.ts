// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from "node:timers/promises";
import { WeftError } from "#lib/errors.ts";

/**
 * Waits until `check` gives something other than false or undefined and returns it; asks again every 100 ms.
 * @throws WeftError E_TIMEOUT naming `what` when the time is over; whatever `check` throws
 */
export async function until<T>(
  what: string,
  timeoutMs: number,
  check: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const result = await check();
    if (result !== undefined && result !== false) return result;
    if (performance.now() > deadline) {
      throw new WeftError("E_TIMEOUT", `waited ${timeoutMs / 1000} s in vain for ${what}`);
    }
    await delay(100);
  }
}
