// SPDX-License-Identifier: Apache-2.0
import type { ResolvedPolicy } from "#policy/rule.ts";
import type { Reconciler } from "#store/reconciler.ts";
import type { Table } from "#store/table.ts";

export interface PolicyInForceDeps {
  readonly policyMaps: Table<ResolvedPolicy>;
  readonly reconciler: Reconciler;
  /** Called whenever a policy has reached the kernel. */
  onInForce(): void;
}

/** Which revision of each policy the kernel holds, by id. */
export function trackPoliciesInForce(deps: PolicyInForceDeps, signal: AbortSignal): (id: number, revision: number) => boolean {
  const { policyMaps, reconciler } = deps;
  const held = new Map<number, number>();
  const watch = (keys: Iterable<string>) => {
    for (const key of keys) {
      const row = policyMaps.get(key);
      if (!row) {
        held.delete(Number(key));
        continue;
      }
      reconciler.settled(key, signal).then(
        () => {
          held.set(row.id, row.revision);
          deps.onInForce();
        },
        // The reconciler reports and retries; its status row changes when that succeeds.
        () => {},
      );
    }
  };
  watch([...policyMaps.all()].map((row) => String(row.id)));
  const stops = [
    policyMaps.onCommit(watch),
    reconciler.status.onCommit((keys) => {
      for (const key of keys) {
        const row = policyMaps.get(key);
        if (row && held.get(row.id) !== row.revision && reconciler.status.get(key)?.state === "done") watch([key]);
      }
    }),
  ];
  signal.addEventListener("abort", () => {
    for (const stop of stops) stop();
  });
  return (id, revision) => held.get(id) === revision;
}
