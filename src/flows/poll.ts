// SPDX-License-Identifier: Apache-2.0
import { setImmediate as yieldToOthers } from "node:timers/promises";
import { type Clock, systemClock } from "#lib/clock.ts";

/** Records taken in one go; then requests have their turn. */
const sliceRecords = 8_192;
const busyMs = 5;
const idleMs = 100;
/** A round with so many records keeps the short interval. */
const busyRecords = 256;

/** The reading end of the kernel's ring buffer, or a test's. */
export interface RecordSource {
  /** Hands over records, at most `max`; returns how many. The place is valid during the call only. */
  drain(onRecord: (view: DataView, offset: number, length: number) => void, max: number): number;
  /** Events lost so far because the ring was full. */
  lost(): number;
}

export interface RecordSink {
  record(view: DataView, offset: number, length: number): void;
  /** `source`: enum flow.LostEventSource. */
  lost(count: number, source: number): void;
  endBatch(received: number): void;
}

const kernelRing = 1;
/** While nothing comes, the counter of lost events is read only every so many rounds. */
const idleRoundsPerCheck = 10;

/**
 * Reads by time until the signal aborts: every 5 ms while much comes, ever less often down to 100 ms while nothing does.
 * The kernel never wakes us, so an event costs the datapath no wake-up. Rejects with what the source or sink throws.
 */
export function pollRecords(
  source: RecordSource,
  sink: RecordSink,
  { signal, clock = systemClock }: { readonly signal: AbortSignal; readonly clock?: Clock },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onRecord = sink.record.bind(sink);
  let waitMs = busyMs;
  let idleRounds = 0;
  let lostBefore = source.lost();
  let cancel: () => void = () => {};

  const checkLost = () => {
    const lost = source.lost();
    if (lost > lostBefore) {
      sink.lost(lost - lostBefore, kernelRing);
      sink.endBatch(1);
    }
    lostBefore = lost;
  };
  const drain = async (): Promise<number> => {
    let received = 0;
    for (let count = sliceRecords; count === sliceRecords && !signal.aborted; ) {
      count = source.drain(onRecord, sliceRecords);
      received += count;
      sink.endBatch(count);
      if (count === sliceRecords) await yieldToOthers();
    }
    return received;
  };
  const round = async () => {
    const received = await drain();
    idleRounds = received > 0 ? 0 : idleRounds + 1;
    if (idleRounds % idleRoundsPerCheck === 0) checkLost();
    waitMs = received >= busyRecords ? busyMs : Math.min(idleMs, waitMs * (received > 0 ? 1.5 : 2));
    if (!signal.aborted) cancel = clock.after(waitMs, next);
  };
  const next = () => {
    round().catch(reject);
  };
  signal.addEventListener("abort", () => {
    cancel();
    resolve();
  });
  if (signal.aborted) resolve();
  else next();
  return promise;
}
