// SPDX-License-Identifier: Apache-2.0

import { FlowEventOffset } from "#datapath/layouts/flow-event.ts";
import { WeftError } from "#lib/errors.ts";
import { lostRecordType } from "./names.ts";
import { eventSize, RecordCursor, SlotField, slotSize } from "./record.ts";

/** What a record referred to when it was seen: indexes into the directory, 0 for nothing. */
export interface References {
  srcParty: number;
  dstParty: number;
  srcService: number;
  dstService: number;
}

const noReferences: References = { srcParty: 0, dstParty: 0, srcService: 0, dstService: 0 };

/**
 * The last records seen, in one buffer of fixed slots. Records are numbered from 0; sequence numbers only grow, so a
 * reader that fell behind sees by the numbers how many it missed.
 */
export class FlowRing {
  /** How many records are kept: 2^n - 1. */
  readonly capacity: number;
  readonly #mask: number;
  readonly #words: Uint32Array;
  readonly #view: DataView;
  /** Sequence number of the next record. */
  next = 0;
  readonly #waiting = new Set<() => void>();

  /** @throws WeftError E_CONFIG unless capacity is 2^n - 1. */
  constructor(capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1 || ((capacity + 1) & capacity) !== 0) {
      throw new WeftError(
        "E_CONFIG",
        `the flow buffer cannot hold ${capacity} flows: the number must be 2^n-1`,
      );
    }
    this.capacity = capacity;
    this.#mask = capacity;
    const buffer = new ArrayBuffer((capacity + 1) * slotSize);
    this.#words = new Uint32Array(buffer);
    this.#view = new DataView(buffer);
  }

  /** Sequence number of the oldest record still held; equals `next` when empty. */
  get oldest(): number {
    return Math.max(0, this.next - this.capacity);
  }

  get length(): number {
    return this.next - this.oldest;
  }

  /** Copies the record at the (4-byte aligned) offset in; `timeNs` is its wall time. */
  push(source: Uint32Array, wordOffset: number, timeNs: bigint, references: References): void {
    const offset = (this.next & this.#mask) * slotSize;
    const words = this.#words;
    let to = offset >> 2;
    for (let i = 0; i < eventSize / 4; i++) words[to++] = source[wordOffset + i]!;
    words[to++] = references.srcParty;
    words[to++] = references.dstParty;
    words[to++] = references.srcService;
    words[to] = references.dstService;
    this.#view.setBigUint64(offset + FlowEventOffset.timeNs, timeNs, true);
    this.next++;
  }

  /** Notes in the ring that events were lost before they got here. `source`: enum flow.LostEventSource. */
  pushLost(count: number, source: number, timeNs: bigint): void {
    const offset = (this.next & this.#mask) * slotSize;
    const empty = new Uint32Array(eventSize / 4);
    this.push(empty, 0, timeNs, noReferences);
    this.#view.setBigUint64(offset + FlowEventOffset.bytes, BigInt(count), true);
    this.#view.setUint8(offset + FlowEventOffset.type, lostRecordType);
    this.#view.setUint8(offset + FlowEventOffset.reason, source);
  }

  cursor(): RecordCursor {
    return new RecordCursor(this.#view);
  }

  /** Points the cursor at a record; false when it is no longer (or not yet) held. */
  seek(cursor: RecordCursor, sequence: number): boolean {
    if (sequence < this.oldest || sequence >= this.next) return false;
    cursor.sequence = sequence;
    cursor.offset = (sequence & this.#mask) * slotSize;
    return true;
  }

  /** Remembers in the slot whom a record turned out to be from or to. */
  setParty(cursor: RecordCursor, field: "srcParty" | "dstParty", index: number): void {
    this.#view.setUint32(cursor.offset + SlotField[field], index, true);
  }

  /** Wakes everybody who waits for records; called once after each batch. */
  notify(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Resolves when there may be records from `sequence` on, or when the signal aborts. */
  async more(sequence: number, signal: AbortSignal): Promise<void> {
    if (this.next > sequence || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      signal.addEventListener("abort", wake);
      this.#waiting.add(wake);
    });
  }
}
