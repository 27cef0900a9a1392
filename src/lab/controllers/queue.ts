// SPDX-License-Identifier: Apache-2.0
import { backoffMs } from "#lib/backoff.ts";
import { errorText } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

/** Keys whose objects have to be looked at again; a key waits at most once and is worked on by one at a time. */
export interface WorkQueue {
  add(key: string): void;
  addAfter(key: string, ms: number): void;
}

export interface QueueOptions {
  readonly name: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Makes the world agree with the object; a number asks for another look after so many milliseconds. */
  reconcile(key: string): Promise<number | undefined>;
}

const PARALLEL = 4;

/** Starts to work on what is added. A reconcile that throws runs again after 20 ms … 5 s. */
export function startQueue(options: QueueOptions): WorkQueue {
  const waiting = new Set<string>();
  const running = new Set<string>();
  const again = new Set<string>();
  const failures = new Map<string, number>();
  let pumping = false;

  const work = async (key: string) => {
    try {
      const afterMs = await options.reconcile(key);
      failures.delete(key);
      if (afterMs !== undefined) addAfter(key, afterMs);
    } catch (thrown) {
      if (options.signal.aborted) return;
      const count = (failures.get(key) ?? 0) + 1;
      failures.set(key, count);
      if (count > 3)
        options.log.warn(
          { controller: options.name, key, err: errorText(thrown), count },
          "reconcile failed",
        );
      addAfter(key, backoffMs(count, { minMs: 20, maxMs: 5_000 }));
    } finally {
      running.delete(key);
      if (again.delete(key)) waiting.add(key);
      pump();
    }
  };
  const pump = () => {
    if (pumping || options.signal.aborted) return;
    pumping = true;
    // One macrotask later: what one event causes arrives together and is looked at once.
    setImmediate(() => {
      pumping = false;
      for (const key of waiting) {
        if (running.size >= PARALLEL) break;
        waiting.delete(key);
        running.add(key);
        void work(key);
      }
    });
  };
  const add = (key: string) => {
    if (running.has(key)) again.add(key);
    else {
      waiting.add(key);
      pump();
    }
  };
  const addAfter = (key: string, ms: number) => {
    setTimeout(() => add(key), ms).unref();
  };
  return { add, addAfter };
}
