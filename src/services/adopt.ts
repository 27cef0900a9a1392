// SPDX-License-Identifier: Apache-2.0
import { LbBackendFlag, LbScope } from "#datapath/layouts/enums.ts";
import type { LbFrontend } from "#datapath/layouts/lb-frontend.ts";
import type { LbFrontendKey } from "#datapath/layouts/lb-frontend-key.ts";
import type { Prefix } from "#model/ip.ts";
import { BackendIds, type KnownBackend } from "#services/backend-ids.ts";
import type { BackendEntry, FrontendEntry } from "#services/entries.ts";
import { fromSourceRangeKey, type ServiceMaps } from "#services/maps.ts";
import { type KnownFrontend, rangeKeys } from "#services/plan.ts";
import { type Frontend, frontendKey, type Tuple } from "#services/service.ts";
import { SharedTables } from "#services/shared-tables.ts";
import { rowKeys, rowsOf, slotsOfRows } from "#services/slot-rows.ts";

type ScopedTuple = Tuple & Pick<Frontend, "scope">;

export interface AdoptedMaps {
  /** By {@link frontendKey}. */
  readonly frontends: ReadonlyMap<string, { readonly known: KnownFrontend; readonly entry: FrontendEntry }>;
  readonly backends: BackendIds;
  readonly tables: SharedTables;
}

/**
 * Takes over what the maps hold. What nothing can reach (left by a writer that died between two writes, or made twice) is
 * deleted; a frontend whose parts do not fit together is marked doubtful, and will be written anew. New backends get numbers after `lastBackend`.
 */
export function readMaps(maps: ServiceMaps, lastBackend = 0): AdoptedMaps {
  const backends = new BackendIds(lastBackend);
  const byId = new Map<number, KnownBackend>();
  const deadBackends: number[] = [];
  for (const [{ id }, { addr, port, proto, flags }] of maps.backends.entries()) {
    const terminating = (flags & LbBackendFlag.terminating) !== 0;
    const known = addr && backends.adopt(id, { address: addr, port, proto }, terminating);
    if (known) byId.set(id, known);
    else deadBackends.push(id);
  }
  const slots = slotsOfRows(maps.slots.entries());
  const ranges = new Map<number, Prefix[]>();
  for (const [key] of maps.sourceRanges.entries()) {
    const list = ranges.get(key.frontend) ?? [];
    ranges.set(key.frontend, list);
    list.push(fromSourceRangeKey(key));
  }
  const there = new Set(maps.tables.signatures());
  const reverse = new Map(
    [...maps.reverse.entries()].map(([{ frontend }, value]) => [frontend, value] as const),
  );
  const frontends = new Map<string, { known: KnownFrontend; entry: FrontendEntry }>();
  const ids = new Set<number>();
  const strangers: LbFrontendKey[] = [];
  for (const [key, value] of maps.frontends.entries()) {
    const scoped = key.scope === LbScope.local;
    if ((!scoped && key.scope !== LbScope.any) || value.id === 0 || ids.has(value.id)) {
      strangers.push(key);
      continue;
    }
    ids.add(value.id);
    const tuple: ScopedTuple = {
      address: key.addr,
      port: key.port,
      proto: key.proto,
      ...(scoped && { scope: "local" }),
    };
    const known = adoptFrontend(value, slots.get(value.id) ?? [], byId);
    known.ranges = ranges.get(value.id) ?? [];
    if (known.table && !there.has(known.table.signature)) known.doubtful = true;
    if (known.table) known.tables = [known.table.signature];
    const shown = reverse.get(value.id);
    if (shown?.addr !== tuple.address || shown.port !== tuple.port) known.doubtful = true;
    frontends.set(frontendKey(tuple), { known, entry: entryOf(tuple, known, byId) });
  }
  for (const known of byId.values()) {
    if (known.holders > 0) continue;
    deadBackends.push(known.id);
    backends.release(known);
  }
  const deadSlots = [...slots]
    .filter(([id]) => !ids.has(id))
    .flatMap(([id, list]) => rowKeys(id, { rows: rowsOf(list.length) }));
  const deadRanges = [...ranges].filter(([id]) => !ids.has(id)).flatMap(([id, list]) => rangeKeys(id, list));
  const deadReverse = [...reverse.keys()].filter((id) => !ids.has(id)).map((frontend) => ({ frontend }));
  if (strangers.length > 0) maps.frontends.deleteMany(strangers);
  if (deadSlots.length > 0) maps.slots.deleteMany(deadSlots);
  if (deadRanges.length > 0) maps.sourceRanges.deleteMany(deadRanges);
  if (deadReverse.length > 0) maps.reverse.deleteMany(deadReverse);
  if (deadBackends.length > 0) maps.backends.deleteMany(deadBackends.map((id) => ({ id })));
  const tables = adoptTables(
    maps,
    [...frontends.values()].map(({ known }) => known),
  );
  return { frontends, backends, tables };
}

function adoptFrontend(
  value: LbFrontend,
  found: readonly number[],
  byId: ReadonlyMap<number, KnownBackend>,
): KnownFrontend {
  const { id, count, flags, affinitySec, tableSize, table: signature } = value;
  const table = tableSize > 0 ? { size: tableSize, signature } : undefined;
  const last = found.findLastIndex((backend) => backend !== undefined && backend !== 0);
  // A hole, or a slot whose backend is not there: 0 is no backend.
  const slots = Array.from(found.slice(0, last + 1), (backend) => byId.get(backend)?.id ?? 0);
  const held = slots.flatMap((backend) => byId.get(backend) ?? []);
  for (const backend of held) backend.holders++;
  const doubtful = held.length < slots.length || slots.length < count;
  const shape = { id, slots, count, flags, affinitySec, table, ranges: [], maxSlots: slots.length };
  return { ...shape, held, tables: [], doubtful };
}

function entryOf(
  tuple: ScopedTuple,
  known: KnownFrontend,
  byId: ReadonlyMap<number, KnownBackend>,
): FrontendEntry {
  const named = (ids: readonly number[]): BackendEntry[] =>
    [...new Set(ids)]
      .flatMap((id) => byId.get(id) ?? [])
      .map(({ tuple: backend, terminating }) => ({ ...backend, terminating }));
  const { flags, affinitySec, table, slots, count } = known;
  return {
    ...tuple,
    flags,
    affinitySec,
    ...(table && { table }),
    sourceRanges: new Set(known.ranges),
    backends: named(slots.slice(0, count)),
    draining: named(slots.slice(count)),
  };
}

/** The tables in the map: those of frontends that have all their parts are as they should be; those of none go. */
function adoptTables(maps: ServiceMaps, frontends: readonly KnownFrontend[]): SharedTables {
  const held = frontends.flatMap(({ tables }) => tables);
  const referred = new Set(held);
  for (const signature of maps.tables.signatures())
    if (!referred.has(signature)) maps.tables.delete(signature);
  const sound = frontends.filter(({ doubtful }) => !doubtful).flatMap(({ tables }) => tables);
  const tables = new SharedTables(maps.tables, sound);
  tables.hold(held);
  return tables;
}
