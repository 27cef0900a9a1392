// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { idle } from "#kit/clock.ts";
import { createHealth } from "#lib/health.ts";
import { startController } from "#store/controller.ts";
import { Database } from "#store/table.ts";

test("a controller waits for all inputs, then runs once per turn with what changed", async () => {
  const db = new Database();
  const a = db.table<string>({ name: "a", key: (row) => row, columns: [] });
  const b = db.table<string>({ name: "b", key: (row) => row, columns: [] });
  const out = db.table<string>({ name: "out", key: (row) => row, columns: [] });
  const [sourceA, sourceB] = [a.source("s"), b.source("s")];
  const put = (table: typeof a, row: string) => db.write((tx) => tx.put(table, row));
  const runs: string[] = [];
  const health = createHealth();
  const controller = startController({
    name: "c",
    inputs: { a, b },
    outputs: [out.source("c")],
    signal: AbortSignal.timeout(60_000),
    health,
    log: pino({ level: "silent" }),
    run(changes) {
      runs.push(`${[...changes.a.keys()]}|${[...changes.b.keys()]}`);
      if (changes.a.has("bad")) throw new Error("cannot");
      return `${runs.length} run(s)`;
    },
  });
  put(a, "a1");
  sourceA.synced();
  await idle();
  assert.deepEqual(runs, []);
  sourceB.synced();
  await out.ready;
  assert.deepEqual(runs, ["a1|"]);
  put(a, "a2");
  put(b, "b1");
  put(b, "b2");
  await idle();
  assert.deepEqual(runs, ["a1|", "a2|b1,b2"]);
  assert.equal(health.rows()[0]?.message, "2 run(s)");
  put(a, "bad");
  await idle();
  assert.deepEqual([health.level(), health.rows()[0]?.message], ["degraded", "cannot"]);
  put(a, "a3");
  await idle();
  assert.equal(health.level(), "ok");
  await controller[Symbol.asyncDispose]();
  put(a, "a4");
  await idle();
  assert.equal(runs.length, 4);
});
