// SPDX-License-Identifier: Apache-2.0

import { EventFlag } from "#datapath/layouts/enums.ts";
import { FlowEventOffset } from "#datapath/layouts/flow-event.ts";
import type { FlowCounters } from "./counters.ts";
import type { Directory } from "./directory.ts";
import { eventSize } from "./record.ts";
import type { FlowRing, References } from "./ring.ts";

export interface IngestOptions {
  readonly ring: FlowRing;
  readonly directory: Directory;
  readonly counters: FlowCounters;
  /** What to add to CLOCK_BOOTTIME for nanoseconds since the epoch. */
  readonly bootOffsetNs: () => bigint;
  /** Hears of events that never got here. */
  readonly onLost?: (count: number) => void;
}

const tickEveryMs = 1_000;
const clockEveryMs = 10_000;

/** Takes records in: copies each into the ring with the names it refers to, and counts it. Runs for every event: no protobuf here. */
export class Ingest {
  readonly #options: IngestOptions;
  readonly #references: References = { srcParty: 0, dstParty: 0, srcService: 0, dstService: 0 };
  #words: Uint32Array<ArrayBufferLike> = new Uint32Array(0);
  #offsetNs: bigint;
  /** Of performance.now(), which the wall clock does not move. */
  #nowMs = performance.now();
  #clockMs = this.#nowMs;
  #tickMs = this.#nowMs;
  /** Records that were not a flow event of the size we know. */
  malformed = 0;

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#offsetNs = options.bootOffsetNs();
  }

  /** One record of the ring buffer: `length` bytes at the 8-byte aligned offset, valid during the call only. */
  record(view: DataView, offset: number, length: number): void {
    if (length < eventSize) {
      this.malformed++;
      return;
    }
    if (this.#words.buffer !== view.buffer) this.#words = new Uint32Array(view.buffer);
    const { ring, directory, counters } = this.#options;
    const references = this.#references;
    references.srcParty = directory.partyAt(
      view,
      offset + FlowEventOffset.saddr,
      view.getUint16(offset + FlowEventOffset.srcEndpoint, true),
    );
    references.dstParty = directory.partyAt(
      view,
      offset + FlowEventOffset.daddr,
      view.getUint16(offset + FlowEventOffset.dstEndpoint, true),
    );
    this.#services(view, offset);
    if (references.srcParty !== 0) directory.mark(references.srcParty, this.#nowMs);
    if (references.dstParty !== 0) directory.mark(references.dstParty, this.#nowMs);
    const timeNs = view.getBigUint64(offset + FlowEventOffset.timeNs, true) + this.#offsetNs;
    ring.push(this.#words, (view.byteOffset + offset) >> 2, timeNs, references);
    counters.count(view, offset);
  }

  /** Events that never got here: `source` is a flow.LostEventSource. */
  lost(count: number, source: number): void {
    this.#options.ring.pushLost(count, source, BigInt(Date.now()) * 1_000_000n);
    this.#options.counters.countLost(count, source);
    this.#options.onLost?.(count);
  }

  /** Once a batch: wakes the readers. Once a second housekeeping, more rarely the clocks. */
  endBatch(received: number): void {
    const nowMs = performance.now();
    const { ring, directory, counters, bootOffsetNs } = this.#options;
    if (nowMs - this.#clockMs >= clockEveryMs) {
      this.#clockMs = nowMs;
      this.#offsetNs = bootOffsetNs();
    }
    if (nowMs - this.#tickMs >= tickEveryMs) {
      this.#tickMs = nowMs;
      directory.tick(ring.next, ring.oldest, nowMs);
    }
    this.#nowMs = nowMs;
    counters.rate(nowMs, received);
    if (received > 0) ring.notify();
  }

  /** The service a connection was opened to: the destination of its packets, the source of its replies. */
  #services(view: DataView, offset: number): void {
    const { directory } = this.#options;
    const references = this.#references;
    references.srcService = 0;
    references.dstService = 0;
    const frontend = view.getUint32(offset + FlowEventOffset.frontend, true);
    if (frontend !== 0) {
      const service = directory.serviceOf(frontend);
      if ((view.getUint16(offset + FlowEventOffset.flags, true) & EventFlag.reply) !== 0)
        references.srcService = service;
      else references.dstService = service;
      return;
    }
    const proto = view.getUint8(offset + FlowEventOffset.proto);
    if (references.dstParty === 0) {
      references.dstService = directory.serviceAt(
        view,
        offset + FlowEventOffset.daddr,
        view.getUint16(offset + FlowEventOffset.dport),
        proto,
      );
    }
    if (references.srcParty === 0) {
      references.srcService = directory.serviceAt(
        view,
        offset + FlowEventOffset.saddr,
        view.getUint16(offset + FlowEventOffset.sport),
        proto,
      );
    }
  }
}
