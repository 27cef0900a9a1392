// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from "node:timers/promises";

const pollMs = 500;

/**
 * Asks twice a second; false when the answer is still no after the time. Keeps the process, as waiting is all it does.
 * @throws what `done` throws, and the signal's reason
 */
export async function pollUntil(
  done: () => Promise<boolean>,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await done())) {
    if (performance.now() > deadline) return false;
    await delay(pollMs, undefined, { signal }).catch(() => {});
    signal.throwIfAborted();
  }
  return true;
}
