// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { fakeClock, idle } from "#kit/clock.ts";
import { backoffMs } from "#lib/backoff.ts";
import { createHealth } from "#lib/health.ts";
import { startJob } from "#lib/jobs.ts";

test("a backoff doubles up to its limit, less a random half", () => {
  const waits = (random: number) =>
    [1, 2, 3, 4, 5].map((failures) => backoffMs(failures, { minMs: 100, maxMs: 1000, random: () => random }));
  assert.deepEqual(waits(0), [100, 200, 400, 800, 1000]);
  assert.deepEqual(waits(1), [50, 100, 200, 400, 500]);
  assert.ok(Number.isFinite(backoffMs(10_000, { minMs: 1, maxMs: 60_000 })));
});

test("health: the worst part counts, no change is told twice", () => {
  let now = 1;
  const health = createHealth(() => now);
  const told: string[] = [];
  const stop = health.onChange((name, row) => told.push(`${name} ${row?.level}`));
  assert.equal(health.level(), "ok");
  health.set("b", "ok", "fine");
  health.set("a", "starting", "");
  assert.equal(health.level(), "starting");
  now = 2;
  health.set("b", "ok", "fine");
  health.set("b", "degraded", "broken");
  assert.equal(health.level(), "degraded");
  assert.deepEqual(health.rows(), [
    { name: "a", level: "starting", message: "", sinceMs: 1 },
    { name: "b", level: "degraded", message: "broken", sinceMs: 2 },
  ]);
  health.remove("b");
  health.remove("b");
  stop();
  health.set("a", "ok", "");
  assert.deepEqual(told, ["b ok", "a starting", "b degraded", "b undefined"]);
});

test("a job that fails runs again after a growing wait; success starts it anew; disposing ends it", async () => {
  const clock = fakeClock();
  const health = createHealth(clock.now);
  let runs = 0;
  const job = startJob({
    name: "job",
    signal: AbortSignal.timeout(30_000),
    health,
    log: pino({ level: "silent" }),
    clock,
    backoff: { minMs: 100, maxMs: 1000, random: () => 0 },
    async run(signal, ok) {
      runs++;
      if (runs === 3) ok("working");
      if (runs < 5) throw new Error(`failure ${runs}`);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    },
  });
  await idle();
  assert.equal(health.rows()[0]?.message, "failure 1");
  const waits: number[] = [];
  while (runs < 5) {
    waits.push(clock.pending()[0]!);
    await clock.advance(clock.pending()[0]!);
  }
  assert.deepEqual(waits, [100, 200, 100, 200]);
  await job[Symbol.asyncDispose]();
  assert.deepEqual([runs, health.rows()[0]?.level, clock.pending()], [5, "stopped", []]);
});
