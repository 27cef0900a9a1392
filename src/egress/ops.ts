// SPDX-License-Identifier: Apache-2.0
import type { EgressEntry } from "#datapath/layouts/egress-entry.ts";
import type { EgressKey } from "#datapath/layouts/egress-key.ts";
import { EgressBits, EgressFlag } from "#datapath/layouts/enums.ts";
import { type MapEntry, mapOps } from "#datapath/map-ops.ts";
import type { TypedMap } from "#kernel/bpf/typed-map.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { family, prefixAddress, prefixBits128 } from "#model/ip.ts";
import { type Reconciler, startReconciler } from "#store/reconciler.ts";
import type { Database, Table } from "#store/table.ts";
import type { EgressRow } from "./rows.ts";

export interface EgressReconcilerDeps {
  readonly db: Database;
  readonly egress: Table<EgressRow>;
  readonly map: TypedMap<EgressKey, EgressEntry>;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
}

const flags = {
  gateway: EgressFlag.gateway,
  tunnel: 0,
  none: EgressFlag.nobody,
  excluded: EgressFlag.excluded,
} as const;

/** Keeps the map `egress` equal to the table. */
export function startEgressReconciler(deps: EgressReconcilerDeps): Reconciler {
  const { db, egress, map, signal, health, log } = deps;
  return startReconciler<EgressRow, MapEntry<EgressKey, EgressEntry>>({
    name: "egress-map",
    kernelIsNewer: true,
    // An edit of a policy's destinations leaves no moment in which a pod leaves the usual way.
    updatesFirst: true,
    table: egress,
    db,
    encode: egressEntry,
    ops: mapOps(map, egressKeyText),
    signal,
    health,
    log,
  });
}

/** Pure. */
export function egressEntry(row: EgressRow): MapEntry<EgressKey, EgressEntry> {
  return {
    key: {
      prefixlen: EgressBits.podBits + prefixBits128(row.destination),
      saddr: row.source,
      daddr: prefixAddress(row.destination),
    },
    value: { address: row.address, node: row.node, flags: flags[row.way] },
  };
}

/** As the desired table names its rows. */
export function egressKeyText({ prefixlen, saddr, daddr }: EgressKey): string {
  return `${saddr} ${daddr}/${prefixlen - EgressBits.podBits - (family(daddr) === 4 ? 96 : 0)}`;
}
