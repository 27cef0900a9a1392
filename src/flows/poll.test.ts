// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pollRecords } from "./poll.ts";

test("the pace follows the traffic, and losses are told", async () => {
  const stop = new AbortController();
  const waits: number[] = [];
  // Records and the count of lost ones, round by round.
  const rounds = [
    [0, 0],
    [0, 0],
    [10_000, 0],
    [300, 5],
    [1, 5],
    [0, 5],
    [0, 5],
    [0, 5],
    [0, 5],
    [0, 5],
    [0, 5],
    [0, 9],
    [1, 9],
  ];
  let left = 0;
  let at = -1;
  const clock = {
    now: () => 0,
    after(ms: number, callback: () => void) {
      waits.push(ms);
      if (at === rounds.length - 1) stop.abort();
      queueMicrotask(callback);
      return () => {};
    },
  };
  const source = {
    drain(_onRecord: unknown, max: number) {
      if (left === 0) left = rounds[++at]![0]!;
      const count = Math.min(left, max);
      left -= count;
      return count;
    },
    lost: () => rounds[Math.max(at, 0)]![1]!,
  };
  const lost: [number, number][] = [];
  let batches = 0;
  const sink = {
    record() {},
    lost: (count: number, from: number) => void lost.push([count, from]),
    endBatch: () => void batches++,
  };
  await pollRecords(source, sink, { signal: stop.signal, clock });
  assert.deepEqual(waits, [10, 20, 5, 5, 7.5, 15, 30, 60, 100, 100, 100, 100, 100]);
  assert.deepEqual(lost, [
    [5, 1],
    [4, 1],
  ]);
  // One a round, one more for the second slice of the long one, one a loss.
  assert.equal(batches, rounds.length + 1 + 2);
});
