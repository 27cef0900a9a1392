// SPDX-License-Identifier: Apache-2.0
/** A service's entries in the maps, as a packet test wants them. */
import assert from "node:assert/strict";
import { LbFlag, LbScope, LbTableShape } from "#datapath/layouts/enums.ts";
import { lbBackendLayout } from "#datapath/layouts/lb-backend.ts";
import { lbBackendKeyLayout } from "#datapath/layouts/lb-backend-key.ts";
import { lbFrontendLayout } from "#datapath/layouts/lb-frontend.ts";
import { lbFrontendKeyLayout } from "#datapath/layouts/lb-frontend-key.ts";
import { lbReverseLayout } from "#datapath/layouts/lb-reverse.ts";
import { lbReverseKeyLayout } from "#datapath/layouts/lb-reverse-key.ts";
import { lbSlotKeyLayout } from "#datapath/layouts/lb-slot-key.ts";
import { lbTableRowLayout } from "#datapath/layouts/lb-table-row.ts";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import type { Layout } from "#kernel/bpf/layout.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { typedMap, u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { parseAddress } from "#model/ip.ts";
import { rowsOfSlots } from "#services/slot-rows.ts";

export interface ServiceFields {
  readonly id: number;
  readonly address: string;
  readonly port: number;
  readonly proto: number;
  readonly type?: "ClusterIP" | "NodePort";
  readonly affinitySec?: number;
  /** Further flags of enum lb_flag. */
  readonly flags?: number;
  /** LbScope.local: what who comes from outside meets. */
  readonly scope?: number;
  /** Backends by number, as its table has them. */
  readonly table?: readonly number[];
  readonly backends: readonly { readonly id: number; readonly address: string; readonly port: number }[];
}

/** A service's entries in all four maps. */
export function writeService(maps: ReadonlyMap<string, BpfMap>, fields: ServiceFields): void {
  const {
    id,
    proto,
    type = "ClusterIP",
    affinitySec = 0,
    scope = LbScope.any,
    backends,
    table = [],
  } = fields;
  const address = parseAddress(fields.address);
  const flags =
    (type === "NodePort" ? LbFlag.nodeport : LbFlag.clusterIp) |
    (affinitySec > 0 ? LbFlag.affinity : 0) |
    (fields.flags ?? 0);
  const typed = <K, V>(name: string, key: Layout<K>, value: Layout<V>) =>
    typedMap(mapOf(maps, name), key, value);
  for (const backend of backends) {
    typed("lb_backends", lbBackendKeyLayout, lbBackendLayout).set(
      { id: backend.id },
      { addr: parseAddress(backend.address), port: backend.port, proto, flags: 0 },
    );
  }
  const rows = rowsOfSlots(
    id,
    backends.map((backend) => backend.id),
  );
  for (const [key, row] of rows) typed("lb_slots", lbSlotKeyLayout, lbTableRowLayout).set(key, row);
  typed("lb_reverse", lbReverseKeyLayout, lbReverseLayout).set(
    { frontend: id },
    { addr: address, port: fields.port },
  );
  if (table.length > 0) {
    using inner = BpfMap.create({
      name: "table",
      type: MapType.array,
      keySize: 4,
      valueSize: lbTableRowLayout.size,
      maxEntries: Math.ceil(table.length / LbTableShape.row),
      flags: MapFlag.innerMap,
    });
    const rows = typedMap(inner, u32Layout, lbTableRowLayout);
    for (let row = 0; row < inner.info.maxEntries; row++)
      rows.set(row, {
        backends: Array.from(
          { length: LbTableShape.row },
          (_, at) => table[row * LbTableShape.row + at] ?? 0,
        ),
      });
    typed("lb_tables", u64Layout, u32Layout).set(BigInt(id), inner.fd.number);
  }
  typed("lb_frontends", lbFrontendKeyLayout, lbFrontendLayout).set(
    { addr: address, port: fields.port, proto, scope },
    { id, count: backends.length, flags, affinitySec, tableSize: table.length, table: BigInt(id) },
  );
}

export function mapOf(maps: ReadonlyMap<string, BpfMap>, name: string): BpfMap {
  const map = maps.get(name);
  assert.ok(map, `map ${name}`);
  return map;
}
