// SPDX-License-Identifier: Apache-2.0
import { type Clock, monotonicClock } from "#lib/clock.ts";
import type { Reconciler } from "#store/reconciler.ts";
import type { Table } from "#store/table.ts";

/** What waits longer to be written is said to be ill. */
const lateMs = 60_000;

/** Whether the kernel follows a table: false while a change of it has waited for longer than a minute. */
export function follows(
  table: Table<unknown>,
  reconciler: Pick<Reconciler, "waitUntil">,
  { signal, clock = monotonicClock }: { readonly signal: AbortSignal; readonly clock?: Clock },
): () => boolean {
  let sinceMs: number | undefined;
  const follow = async () => {
    let revision: number;
    do {
      revision = table.revision;
      await reconciler.waitUntil(revision, signal);
    } while (revision !== table.revision);
    sinceMs = undefined;
  };
  const begin = () => {
    if (sinceMs !== undefined || signal.aborted) return;
    sinceMs = clock.now();
    // The reconciler has ended: what has waited goes on waiting.
    follow().catch(() => {});
  };
  const stop = table.onCommit(begin);
  signal.addEventListener("abort", stop, { once: true });
  begin();
  return () => sinceMs === undefined || clock.now() - sinceMs < lateMs;
}
