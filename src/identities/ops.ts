// SPDX-License-Identifier: Apache-2.0

import type { IpcacheEntry as IpcacheValue } from "#datapath/layouts/ipcache-entry.ts";
import type { IpcacheKey } from "#datapath/layouts/ipcache-key.ts";
import { type MapEntry, mapOps } from "#datapath/map-ops.ts";
import { prefixKey, prefixOfKey } from "#datapath/prefix-key.ts";
import type { TypedMap } from "#kernel/bpf/typed-map.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type Reconciler, startReconciler } from "#store/reconciler.ts";
import type { Database, Table } from "#store/table.ts";
import type { IpcacheEntry } from "./identity.ts";

export interface IpcacheReconcilerDeps {
  readonly db: Database;
  readonly ipcache: Table<IpcacheEntry>;
  readonly map: TypedMap<IpcacheKey, IpcacheValue>;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
}

export function startIpcacheReconciler(deps: IpcacheReconcilerDeps): Reconciler {
  return startReconciler<IpcacheEntry, MapEntry<IpcacheKey, IpcacheValue>>({
    name: "ipcache-map",
    kernelIsNewer: true,
    table: deps.ipcache,
    db: deps.db,
    encode: ipcacheEntry,
    ops: mapOps(deps.map, prefixOfKey),
    signal: deps.signal,
    health: deps.health,
    log: deps.log,
  });
}

function ipcacheEntry(row: IpcacheEntry): MapEntry<IpcacheKey, IpcacheValue> {
  return {
    key: prefixKey(row.prefix),
    value: { identity: row.identity, flags: 0, tunnel: row.tunnel },
  };
}

export function startBlockReconciler(
  deps: Omit<IpcacheReconcilerDeps, "ipcache" | "map"> & {
    readonly blocks: Table<IpcacheEntry>;
    readonly map: TypedMap<IpcacheKey, number>;
  },
): Reconciler {
  return startReconciler<IpcacheEntry, MapEntry<IpcacheKey, number>>({
    name: "blocks-map",
    table: deps.blocks,
    db: deps.db,
    encode: (row) => ({ key: prefixKey(row.prefix), value: row.identity }),
    ops: mapOps(deps.map, prefixOfKey),
    signal: deps.signal,
    health: deps.health,
    log: deps.log,
  });
}
