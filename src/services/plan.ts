// SPDX-License-Identifier: Apache-2.0
import type { LbFrontend } from "#datapath/layouts/lb-frontend.ts";
import type { LbFrontendKey } from "#datapath/layouts/lb-frontend-key.ts";
import type { LbReverse } from "#datapath/layouts/lb-reverse.ts";
import type { LbReverseKey } from "#datapath/layouts/lb-reverse-key.ts";
import type { LbSourceRange } from "#datapath/layouts/lb-source-range.ts";
import type { LbSourceRangeKey } from "#datapath/layouts/lb-source-range-key.ts";
import type { Prefix } from "#model/ip.ts";
import { arrangeSlots, type FrontendEntry, type TableEntry } from "#services/entries.ts";
import { maglevTable } from "#services/maglev.ts";
import { toFrontendKey, toSourceRangeKey } from "#services/maps.ts";
import { planRows, type RowPlan } from "#services/slot-rows.ts";

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
  held: readonly number[];
  /** The maps may differ from this: everything is written. */
  doubtful: boolean;
}

/** What has to be written for one frontend; each step before the next. */
export interface Plan {
  readonly known: KnownFrontend;
  /** How it will be then. */
  readonly next: Pick<KnownFrontend, "slots" | "count" | "flags" | "affinitySec" | "table" | "ranges">;
  readonly held: readonly number[];
  readonly reverse: readonly (readonly [LbReverseKey, LbReverse])[];
  readonly ranges: readonly (readonly [LbSourceRangeKey, LbSourceRange])[];
  /** The table it needs and has not: numbers of backends. Written before the frontend, unless another has it. */
  readonly table?: { readonly signature: bigint; numbers(): Uint32Array };
  /** Signature of the table it holds then. */
  readonly tables: readonly bigint[];
  /** Rows of slots: before the frontend, after it, and to be deleted then. */
  readonly rows: RowPlan;
  readonly frontend: readonly (readonly [LbFrontendKey, LbFrontend])[];
  readonly rangesGone: readonly LbSourceRangeKey[];
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

/** The difference between what the maps hold and what they should. The backends' ids are held for it already. */
export function planFrontend(
  entry: FrontendEntry,
  known: KnownFrontend,
  ids: {
    readonly active: ReadonlySet<number>;
    readonly draining: ReadonlySet<number>;
    /** A backend's number by its key. */
    of(key: string): number;
  },
): Plan {
  const { id, doubtful } = known;
  const active = arrangeSlots(known.slots.slice(0, known.count), ids.active);
  const slots = [...active, ...arrangeSlots(known.slots.slice(active.length), ids.draining)];
  const { flags, affinitySec, sourceRanges } = entry;
  const next = {
    slots,
    count: active.length,
    flags,
    affinitySec,
    table: entry.table,
    ranges: [...sourceRanges],
  };
  const sameTable =
    known.table?.size === entry.table?.size && known.table?.signature === entry.table?.signature && !doubtful;
  const { address, port } = entry;
  const sameHead =
    known.count === next.count &&
    known.flags === next.flags &&
    known.affinitySec === next.affinitySec &&
    sameTable;
  const { table: wanted } = entry;
  const { size: tableSize = 0, signature: table = 0n } = wanted ?? {};
  const head: LbFrontend = { id, count: next.count, flags, affinitySec, tableSize, table };
  return {
    known,
    next,
    held: [...ids.active, ...ids.draining],
    reverse: doubtful ? [[{ frontend: id }, { addr: address, port }]] : [],
    ranges: next.ranges
      .filter((range) => doubtful || !known.ranges.includes(range))
      .map((range) => [toSourceRangeKey(id, range), { allowed: 1 }] as const),
    ...(!sameTable && wanted && { table: { signature: table, numbers: () => numbersOf(wanted, ids.of) } }),
    tables: wanted ? [table] : [],
    rows: planRows(known, next),
    frontend: sameHead ? [] : [[toFrontendKey(entry), head]],
    rangesGone: rangeKeys(
      id,
      known.ranges.filter((range) => !sourceRanges.has(range)),
    ),
  };
}

/** A table by the backends' numbers. */
function numbersOf({ shares = [], size }: TableEntry, numberOf: (key: string) => number): Uint32Array {
  const numbers = shares.map(({ key }) => numberOf(key));
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
