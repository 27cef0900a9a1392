// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeClock } from "#kit/clock.ts";
import { FlowCounters } from "./counters.ts";
import { Directory } from "./directory.ts";
import { Ingest } from "./ingest.ts";
import { tellLosses } from "./losses.ts";
import { FlowRing } from "./ring.ts";

test("the first loss is told at once, later ones once a minute in one sum", async () => {
  const clock = fakeClock();
  const told: number[] = [];
  const losses = tellLosses((count) => told.push(count), clock);
  losses.note(5);
  assert.deepEqual(told, [5]);
  losses.note(7);
  await clock.advance(30_000);
  losses.note(1);
  await clock.advance(29_999);
  assert.deepEqual(told, [5]);
  await clock.advance(1);
  assert.deepEqual(told, [5, 8]);
  // A minute without a loss: nothing is told, and the next one is at once again.
  await clock.advance(60_000);
  assert.deepEqual([told, clock.pending()], [[5, 8], []]);
  losses.note(2);
  assert.deepEqual(told, [5, 8, 2]);
  losses[Symbol.dispose]();
  assert.deepEqual(clock.pending(), []);
});

test("what the kernel's ring had no room for is noted at ingest, and counted as before", () => {
  const noted: number[] = [];
  const counters = new FlowCounters();
  const onLost = (count: number) => noted.push(count);
  const ring = new FlowRing(15);
  const ingest = new Ingest({ ring, directory: new Directory(), counters, bootOffsetNs: () => 0n, onLost });
  ingest.lost(3, 1);
  ingest.lost(4, 1);
  assert.deepEqual([noted, counters.lost.get(1)], [[3, 4], 7]);
});
