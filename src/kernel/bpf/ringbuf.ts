// SPDX-License-Identifier: Apache-2.0

import { MapType } from "#kernel/bpf/kinds.ts";
import type { BpfMap } from "#kernel/bpf/map.ts";
import { type Mapping, mapMemory, PAGE_SIZE } from "#kernel/memory.ts";
import { WeftError } from "#lib/errors.ts";

/** Called with the record's place in the ring: valid only until it returns. Length is what the program reserved. */
export type OnRecord = (view: DataView, offset: number, length: number) => void;

/** The consumer's end of a BPF ring buffer (Documentation/bpf/ringbuf.rst): polled, never woken, nothing copied. */
export interface RingBuffer extends Disposable {
  /** Bytes of the data area. */
  readonly size: number;
  /**
   * Hands over what is there, oldest first, at most `maxRecords`; returns how many. A record the program still
   * writes ends the round. The space is given back every eighth of the ring and at the end of the round, also when
   * the callback throws: the record it threw at counts as read.
   */
  drain(onRecord: OnRecord, maxRecords?: number): number;
  /** Bytes written and not yet read, headers included. */
  pendingBytes(): number;
  /** Records the program discarded, seen so far. */
  readonly discarded: number;
  close(): void;
}

const BUSY = 1 << 31;
const DISCARDED = 1 << 30;
const HEADER = 8;

/** Longest record that may lie across the end of the ring, bytes with its header: far longer than any event. */
const LONGEST = 64 * 1024;

/**
 * Opens the reading end. A ring buffer has one consumer: two readers would take each other's records. The map may be
 * closed afterwards.
 * @throws WeftError E_BPF_MAP when the map is no ring buffer; KernelError. Draining does at a record of 64 KiB across its end
 */
export function openRingBuffer(map: BpfMap): RingBuffer {
  const { type, maxEntries: size } = map.info;
  if (type !== MapType.ringbuf) throw new WeftError("E_BPF_MAP", `map ${map.name} is not a ring buffer`);
  const { consumer, producer, mapped } = mapRing(map);
  const consumed = new BigInt64Array(consumer.buffer, 0, 1);
  const produced = new BigInt64Array(producer.buffer, 0, 1);
  const producedLow = new Int32Array(producer.buffer, 0, 1);
  const headers = new Int32Array(producer.buffer, PAGE_SIZE, size / 4);
  const view = new DataView(producer.buffer, PAGE_SIZE);
  let position = Number(Atomics.load(consumed, 0));
  let discarded = 0;
  let closed = false;

  const drain = (onRecord: OnRecord, maxRecords = Number.POSITIVE_INFINITY): number => {
    if (closed) throw new WeftError("E_BPF_MAP", `ring buffer ${map.name} is closed`);
    let released = position;
    let records = 0;
    const release = () => {
      Atomics.store(consumed, 0, BigInt(position));
      released = position;
    };
    try {
      // Positions are compared modulo 2^32: the ring is far smaller.
      while (records < maxRecords && (Atomics.load(producedLow, 0) - position) | 0) {
        const at = position & (size - 1);
        const header = Atomics.load(headers, at / 4);
        if (header & BUSY) break;
        const length = header & ~(BUSY | DISCARDED);
        // What was read before this record is no longer looked at by anyone.
        if (position - released >= size / 8) release();
        position += (length + HEADER + 7) & ~7;
        if (header & DISCARDED) {
          discarded++;
          continue;
        }
        if (at + HEADER + length > mapped)
          throw new WeftError(
            "E_BPF_MAP",
            `ring buffer ${map.name} has a record of ${length} bytes across its end`,
          );
        records++;
        onRecord(view, at + HEADER, length);
      }
    } finally {
      if (position !== released) release();
    }
    return records;
  };

  const close = () => {
    if (closed) return;
    closed = true;
    consumer.close();
    producer.close();
  };

  return {
    size,
    drain,
    pendingBytes: () => (closed ? 0 : Number(Atomics.load(produced, 0)) - position),
    get discarded() {
      return discarded;
    },
    close,
    [Symbol.dispose]: close,
  };
}

/** The consumer's page, which is ours to write, and the producer's with the data behind it. `mapped`: bytes of data. */
function mapRing(map: BpfMap): { consumer: Mapping; producer: Mapping; mapped: number } {
  const { maxEntries: size } = map.info;
  const fd = map.fd.number;
  const consumer = mapMemory({
    fd,
    length: PAGE_SIZE,
    writable: true,
    what: `map consumer page of ${map.name}`,
  });
  // The kernel has the data area twice in a row. Of the second only its beginning is mapped: enough for a record across the end of the
  // first to be in one piece, where all of it would count once more as memory of the process.
  const mapped = size + Math.min(size, LONGEST);
  const producer = mapMemory({
    fd,
    length: PAGE_SIZE + mapped,
    offset: PAGE_SIZE,
    what: `map data of ${map.name}`,
  });
  return { consumer, producer, mapped };
}
