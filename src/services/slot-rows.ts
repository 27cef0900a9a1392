// SPDX-License-Identifier: Apache-2.0
import { LbTableShape } from "#datapath/layouts/enums.ts";
import type { LbSlotKey } from "#datapath/layouts/lb-slot-key.ts";
import type { LbTableRow } from "#datapath/layouts/lb-table-row.ts";

const { row: rowSize } = LbTableShape;

/** Slots of one frontend, as the map holds them or will: backend ids, those above `count` are never chosen. */
export interface Slots {
  readonly slots: readonly number[];
  readonly count: number;
}

/** What is in the map, as far as is known. */
export interface KnownSlots extends Slots {
  readonly id: number;
  /** No slot above this one is in the map. */
  readonly maxSlots: number;
  /** The map may differ from this. */
  readonly doubtful: boolean;
}

export type RowWrite = readonly [LbSlotKey, LbTableRow];

/** Rows to write before the frontend says its new count, after it, and to delete then. */
export interface RowPlan {
  readonly inUse: readonly RowWrite[];
  readonly beyond: readonly RowWrite[];
  readonly gone: readonly LbSlotKey[];
}

/** Rows that so many slots take. */
export function rowsOf(slots: number): number {
  return Math.ceil(slots / rowSize);
}

/**
 * The rows that differ. A row is written whole, so one at the end of a frontend that shrinks comes twice: until the frontend says so,
 * packets may ask for what is above its new count, and must find backends there.
 */
export function planRows(known: KnownSlots, next: Slots): RowPlan {
  const was = (at: number) => known.slots[at] ?? 0;
  const will = (at: number) => next.slots[at] ?? 0;
  const mayBeAsked = Math.max(known.maxSlots, known.count);
  const meanwhile = (at: number) =>
    at < next.count || at >= mayBeAsked ? will(at) : was(at) || will(at % next.count);
  const inUse: RowWrite[] = [];
  const beyond: RowWrite[] = [];
  const rows = rowsOf(next.slots.length);
  for (let row = 0; row < rows; row++) {
    const first = row * rowSize;
    const write = (of: (at: number) => number): RowWrite => {
      const backends: number[] = [];
      for (let at = first; at < first + rowSize; at++) backends.push(of(at));
      return [{ frontend: known.id, row }, { backends }];
    };
    const written = first < next.count && (known.doubtful || differ(was, will, first, next.count));
    if (written) inUse.push(write(meanwhile));
    const left = written ? differ(meanwhile, will, first) : known.doubtful || differ(was, will, first);
    if (left) beyond.push(write(will));
  }
  return { inUse, beyond, gone: rowKeys(known.id, { first: rows, rows: rowsOf(known.maxSlots) }) };
}

/** Whether two say something else of a place of the row that begins with slot `first`, or of those before slot `end`. */
function differ(
  a: (at: number) => number,
  b: (at: number) => number,
  first: number,
  end = first + rowSize,
): boolean {
  for (let at = first; at < Math.min(end, first + rowSize); at++) if (a(at) !== b(at)) return true;
  return false;
}

/** Keys of a frontend's rows from `first` on, up to its `rows`. */
export function rowKeys(
  frontend: number,
  { first = 0, rows }: { first?: number; rows: number },
): LbSlotKey[] {
  return Array.from({ length: Math.max(0, rows - first) }, (_, at) => ({ frontend, row: first + at }));
}

/** Slots by frontend, out of the map's rows: 0 or a hole where there is no backend. */
export function slotsOfRows(rows: Iterable<readonly [LbSlotKey, LbTableRow]>): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const [{ frontend, row }, { backends }] of rows) {
    const slots = found.get(frontend) ?? [];
    if (slots.length === 0) found.set(frontend, slots);
    for (const [place, backend] of backends.entries()) slots[row * rowSize + place] = backend;
  }
  return found;
}

/** Rows of a frontend of which nothing is in the map yet. */
export function rowsOfSlots(frontend: number, slots: readonly number[]): readonly RowWrite[] {
  const nothing = { id: frontend, slots: [], count: 0, maxSlots: 0, doubtful: true };
  return planRows(nothing, { slots, count: slots.length }).inUse;
}
