// SPDX-License-Identifier: Apache-2.0
import type { IpcacheKey } from "#datapath/layouts/ipcache-key.ts";
import { type MapEntry, mapOps } from "#datapath/map-ops.ts";
import { prefixKey, prefixOfKey } from "#datapath/prefix-key.ts";
import type { TypedMap } from "#kernel/bpf/typed-map.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type Reconciler, startReconciler } from "#store/reconciler.ts";
import type { Database, Table } from "#store/table.ts";
import type { MasqueradeExemption } from "./masquerade-list.ts";

export interface MasqueradeReconcilerDeps {
  readonly db: Database;
  readonly exempt: Table<MasqueradeExemption>;
  readonly map: TypedMap<IpcacheKey, number>;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
}

/** Keeps the map `masq_exempt` equal to the table. */
export function startMasqueradeReconciler(deps: MasqueradeReconcilerDeps): Reconciler {
  const { db, exempt, map, signal, health, log } = deps;
  return startReconciler<MasqueradeExemption, MapEntry<IpcacheKey, number>>({
    name: "masquerade-map",
    table: exempt,
    db,
    encode: ({ prefix }) => ({ key: prefixKey(prefix), value: 1 }),
    ops: mapOps(map, prefixOfKey),
    signal,
    health,
    log,
  });
}
