// SPDX-License-Identifier: Apache-2.0
import { setImmediate as yieldToOthers } from "node:timers/promises";
import { LostEventSource } from "#api/gen/flow/flow_pb.ts";
import type { Match } from "./match.ts";
import { lostRecordType } from "./names.ts";
import type { RecordCursor } from "./record.ts";
import type { FlowRing } from "./ring.ts";

/** Records looked at in one go; then ingest and other requests have their turn. */
const sliceRecords = 2_048;
/** Records of different CPUs come in slightly out of order: only this long after the end of the range is it surely over. */
const disorderNs = 1_000_000_000n;

/** Which records are wanted, apart from the filter. */
export interface Range {
  /** Wanted at most; 0: all. With `follow`: how many old ones come first. */
  readonly number: number;
  /** Count from the oldest record, not back from the newest. */
  readonly first: boolean;
  readonly follow: boolean;
  /** Nanoseconds since the epoch. */
  readonly sinceNs: bigint | undefined;
  readonly untilNs: bigint | undefined;
}

/** Records that were overwritten before they could be read, or a note the record itself is. */
export type Found =
  | { readonly kind: "flow" }
  | { readonly kind: "lost" }
  | { readonly kind: "overrun"; readonly count: number };

const flowFound: Found = { kind: "flow" };
const lostFound: Found = { kind: "lost" };

/**
 * Walks the ring from the oldest wanted record to the newest: for each one found the cursor stands on it until the next step.
 * `number` counts flows that match, never notes of loss, which are passed on unfiltered. With `follow` it ends only when the
 * signal aborts or the range is over.
 */
export async function* readRecords(
  ring: FlowRing,
  { range, match, signal }: { readonly range: Range; readonly match: Match; readonly signal: AbortSignal },
  cursor: RecordCursor,
): AsyncGenerator<Found> {
  let sequence = await startOf(ring, range, match, signal);
  let left = range.number > 0 && !range.follow ? range.number : Infinity;
  for (let looked = 1; left > 0 && !signal.aborted; looked++) {
    if (looked % sliceRecords === 0) await yieldToOthers();
    if (sequence >= ring.next) {
      if (!range.follow) return;
      await ring.more(sequence, signal);
      continue;
    }
    if (!ring.seek(cursor, sequence)) {
      yield { kind: "overrun", count: ring.oldest - sequence };
      sequence = ring.oldest;
      continue;
    }
    sequence++;
    if (cursor.type === lostRecordType) {
      yield lostFound;
      continue;
    }
    const place = placeIn(range, cursor);
    if (place === "over") return;
    if (place === "outside" || !match(cursor)) continue;
    left--;
    yield flowFound;
  }
}

function placeIn({ sinceNs, untilNs }: Range, cursor: RecordCursor): "inside" | "outside" | "over" {
  if (sinceNs === undefined && untilNs === undefined) return "inside";
  const { timeNs } = cursor;
  if (untilNs !== undefined && timeNs > untilNs) return timeNs > untilNs + disorderNs ? "over" : "outside";
  return sinceNs !== undefined && timeNs < sinceNs ? "outside" : "inside";
}

/** Sequence number to begin at. A start in time counts before `first`, that before counting back. */
async function startOf(ring: FlowRing, range: Range, match: Match, signal: AbortSignal): Promise<number> {
  const { sinceNs, untilNs, first, follow, number } = range;
  if (sinceNs === undefined && first) return ring.oldest;
  if (sinceNs === undefined && follow && number === 0) return ring.next;
  if (sinceNs === undefined && number === 0) return ring.oldest;
  const cursor = ring.cursor();
  let found = 0;
  let sequence = ring.next;
  while (sequence > ring.oldest && !signal.aborted) {
    if (!ring.seek(cursor, sequence - 1)) break;
    sequence--;
    if ((ring.next - sequence) % sliceRecords === 0) await yieldToOthers();
    if (cursor.type === lostRecordType) continue;
    if (sinceNs !== undefined) {
      if (cursor.timeNs < sinceNs - disorderNs) return sequence + 1;
    } else if ((untilNs === undefined || cursor.timeNs <= untilNs) && match(cursor) && ++found === number) {
      return sequence;
    }
  }
  return Math.max(sequence, ring.oldest);
}

/** Where records are lost when a reader is overrun. */
export const overrunSource = LostEventSource.HUBBLE_RING_BUFFER;
