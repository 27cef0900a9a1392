// SPDX-License-Identifier: Apache-2.0
import type { LbFrontend } from "#datapath/layouts/lb-frontend.ts";
import type { LbFrontendKey } from "#datapath/layouts/lb-frontend-key.ts";
import type { LbReverse } from "#datapath/layouts/lb-reverse.ts";
import type { LbReverseKey } from "#datapath/layouts/lb-reverse-key.ts";
import type { LbSlotKey } from "#datapath/layouts/lb-slot-key.ts";
import type { LbSourceRange } from "#datapath/layouts/lb-source-range.ts";
import type { LbSourceRangeKey } from "#datapath/layouts/lb-source-range-key.ts";
import type { Prefix } from "#model/ip.ts";
import type { KnownBackend } from "#services/backend-ids.ts";
import { arrangeSlots, type FrontendEntry, type TableEntry } from "#services/entries.ts";
import { maglevTable } from "#services/maglev.ts";
import { toFrontendKey, toSourceRangeKey } from "#services/maps.ts";
import { tupleText } from "#services/service.ts";
import { planRows, type RowWrite } from "#services/slot-rows.ts";

/** A frontend as the maps hold it. */
export interface KnownFrontend {
  readonly id: number;
  /** Backend ids: slots 1..count, then those that drain. */
  slots: readonly number[];
  count: number;
  flags: number;
  affinitySec: number;
  /** Its table, as far as the maps say so. */
  table: TableEntry | undefined;
  /** Signatures of the tables it holds: of its own, and of those it may have. */
  tables: readonly bigint[];
  /** Who may ask, as far as the map says so. */
  ranges: readonly Prefix[];
  /** No slot above this one is in the map. */
  maxSlots: number;
  /** Backends that count it as a holder, once for each time they are here. */
  held: readonly KnownBackend[];
  /** The maps may differ from this: everything is written. */
  doubtful: boolean;
}

/** What becomes of one frontend. */
export interface Plan {
  readonly known: KnownFrontend;
  /** How it will be then. */
  readonly next: Pick<KnownFrontend, "slots" | "count" | "flags" | "affinitySec" | "table" | "ranges">;
  readonly held: readonly KnownBackend[];
  /** The table it needs and has not: numbers of backends. Written before the frontend, unless another has it. */
  readonly table: { readonly signature: bigint; numbers(): Uint32Array } | undefined;
  /** Signature of the table it holds then. */
  readonly tables: readonly bigint[];
}

/** What has to be written for some frontends; each step before the next, the tables before the frontends. */
export class Writes {
  readonly reverse: (readonly [LbReverseKey, LbReverse])[] = [];
  readonly ranges: (readonly [LbSourceRangeKey, LbSourceRange])[] = [];
  /** Rows of slots: before the frontends, after them, and to be deleted then. */
  readonly rowsInUse: RowWrite[] = [];
  readonly frontends: (readonly [LbFrontendKey, LbFrontend])[] = [];
  readonly rowsBeyond: RowWrite[] = [];
  readonly rowsGone: LbSlotKey[] = [];
  readonly rangesGone: LbSourceRangeKey[] = [];
}

export function newFrontend(id: number): KnownFrontend {
  return {
    id,
    slots: [],
    count: 0,
    flags: 0,
    affinitySec: 0,
    table: undefined,
    tables: [],
    ranges: [],
    maxSlots: 0,
    held: [],
    doubtful: true,
  };
}

/** The difference between what the maps hold and what they should. The backends are held for it already. */
export function planFrontend(
  entry: FrontendEntry,
  known: KnownFrontend,
  backends: { readonly active: readonly KnownBackend[]; readonly draining: readonly KnownBackend[] },
  writes: Writes,
): Plan {
  const { doubtful } = known;
  const { flags, affinitySec, sourceRanges, table: wanted } = entry;
  const active = arrangeSlots(known.slots.slice(0, known.count), backends.active.map(idOf));
  const draining = arrangeSlots(known.slots.slice(active.length), backends.draining.map(idOf));
  const slots = draining.length > 0 ? [...active, ...draining] : active;
  const next = { slots, count: active.length, flags, affinitySec, table: wanted, ranges: [...sourceRanges] };
  const sameTable =
    known.table?.size === wanted?.size && known.table?.signature === wanted?.signature && !doubtful;
  const rows = planRows(known, next);
  writes.rowsInUse.push(...rows.inUse);
  writes.rowsBeyond.push(...rows.beyond);
  writes.rowsGone.push(...rows.gone);
  planHead(entry, { known, next, sameTable }, writes);
  const held = draining.length > 0 ? [...backends.active, ...backends.draining] : backends.active;
  const table =
    sameTable || !wanted
      ? undefined
      : { signature: wanted.signature, numbers: () => numbersOf(wanted, held) };
  return { known, next, held, table, tables: wanted ? [wanted.signature] : [] };
}

const idOf = ({ id }: KnownBackend) => id;

/** All but the slots. */
function planHead(
  entry: FrontendEntry,
  { known, next, sameTable }: Pick<Plan, "known" | "next"> & { readonly sameTable: boolean },
  writes: Writes,
) {
  const { id, doubtful } = known;
  const { count, flags, affinitySec, ranges } = next;
  if (doubtful) writes.reverse.push([{ frontend: id }, { addr: entry.address, port: entry.port }]);
  for (const range of ranges)
    if (doubtful || !known.ranges.includes(range))
      writes.ranges.push([toSourceRangeKey(id, range), { allowed: 1 }]);
  const gone = known.ranges.filter((range) => !entry.sourceRanges.has(range));
  if (gone.length > 0) writes.rangesGone.push(...rangeKeys(id, gone));
  const same =
    known.count === count && known.flags === flags && known.affinitySec === affinitySec && sameTable;
  if (same) return;
  const { size: tableSize = 0, signature: table = 0n } = entry.table ?? {};
  writes.frontends.push([toFrontendKey(entry), { id, count, flags, affinitySec, tableSize, table }]);
}

/** A table by the backends' numbers. */
function numbersOf({ shares = [], size }: TableEntry, backends: readonly KnownBackend[]): Uint32Array {
  const ids = new Map(backends.map(({ tuple, id }) => [tupleText(tuple), id]));
  const numbers = shares.map(({ key }) => ids.get(key)!);
  return maglevTable(shares, size).map((at) => numbers[at]!);
}

/** After a write that failed somewhere: the maps hold any part of the plan, and nothing it refers to may go. */
export function abandon({ known, next, held, tables }: Plan): void {
  known.doubtful = true;
  known.tables = [...known.tables, ...tables];
  known.held = [...known.held, ...held];
  known.maxSlots = Math.max(known.maxSlots, next.slots.length);
  known.ranges = [...new Set([...known.ranges, ...next.ranges])];
}

export function rangeKeys(frontend: number, ranges: readonly Prefix[]): LbSourceRangeKey[] {
  return ranges.map((range) => toSourceRangeKey(frontend, range));
}
