// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { fakeClock, idle } from "#kit/clock.ts";
import { createHealth } from "#lib/health.ts";
import { startWorkQueue, type WorkQueueOptions } from "#store/work-queue.ts";

function setUp(work: WorkQueueOptions["work"], more: Partial<WorkQueueOptions> = {}) {
  const clock = fakeClock();
  const health = createHealth(clock.now);
  const signal = AbortSignal.timeout(30_000);
  const log = pino({ level: "silent" });
  const backoff = { minMs: 100, maxMs: 1_000, random: () => 0 };
  return {
    clock,
    health,
    queue: startWorkQueue({ name: "q", work, signal, health, log, clock, backoff, ...more }),
  };
}

test("a key waits once, is never worked on twice at a time, and has another turn when it comes meanwhile", async () => {
  const started: string[] = [];
  let finish = () => {};
  const { queue } = setUp((key) => {
    started.push(key);
    return new Promise((resolve) => {
      finish = resolve;
    });
  });
  for (const key of ["a", "a", "a"]) queue.add(key);
  await idle();
  queue.add("a");
  queue.add("a");
  await idle();
  assert.deepEqual(started, ["a"]);
  finish();
  await idle();
  assert.deepEqual(started, ["a", "a"]);
  finish();
  await idle();
  assert.equal(queue.size, 0);
  await queue[Symbol.asyncDispose]();
});

test("what fails is tried again after a growing wait, and reported once it failed twice", async () => {
  let runs = 0;
  const { queue, clock, health } = setUp(async () => {
    if (++runs < 4) throw new Error(`failure ${runs}`);
  });
  queue.add("k");
  await idle();
  assert.equal(health.level(), "ok");
  await clock.advance(100);
  assert.match(health.rows()[0]?.message ?? "", /1 failing: k: failure 2/);
  await clock.advance(199);
  assert.equal(runs, 2);
  await clock.advance(1 + 400);
  assert.deepEqual([runs, queue.size, health.level()], [4, 0, "ok"]);
  await queue[Symbol.asyncDispose]();
});

test("the rate is bounded after the first burst", async () => {
  let runs = 0;
  const { queue, clock } = setUp(async () => void runs++, { rate: { perSec: 10, burst: 5 }, parallel: 100 });
  for (let i = 0; i < 30; i++) queue.add(String(i));
  await idle();
  assert.equal(runs, 5);
  await clock.advance(1_000);
  assert.equal(runs, 15);
  await clock.advance(2_000);
  assert.equal(runs, 30);
  await queue[Symbol.asyncDispose]();
});

test("disposing aborts what is at work and waits for it", async () => {
  let ended = false;
  const { queue } = setUp(async (_, signal) => {
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    ended = true;
  });
  queue.add("a");
  await idle();
  await queue[Symbol.asyncDispose]();
  assert.equal(ended, true);
  queue.add("b");
  assert.equal(queue.size, 0);
});
