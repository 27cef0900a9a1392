// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { fakeClock, idle } from "#kit/clock.ts";
import { createHealth } from "#lib/health.ts";
import { type ReconcilerOps, startReconciler } from "#store/reconciler.ts";
import { Database } from "#store/table.ts";

interface Row {
  readonly key: string;
  readonly value: number;
}

/** A kernel of numbers by key that counts calls and fails for the keys it is told. */
function world(kernel: Record<string, number> = {}) {
  const db = new Database();
  const table = db.table<Row>({ name: "things", key: (row) => row.key, columns: [] });
  const held = new Map(Object.entries(kernel));
  const calls: string[] = [];
  const failing = new Map<string, string>();
  const stop = new AbortController();
  let listError: string | undefined;
  const apply = (
    kind: string,
    batch: ReadonlyMap<string, number>,
    write: (key: string, value: number) => void,
  ) => {
    calls.push(`${kind}(${[...batch].map(([key, value]) => `${key}=${value}`).join(" ")})`);
    const failures = new Map<string, unknown>();
    for (const [key, value] of batch) {
      const error = failing.get(key);
      if (error) failures.set(key, new Error(error));
      else write(key, value);
    }
    return failures;
  };
  const ops: ReconcilerOps<number> = {
    list() {
      calls.push("list");
      if (listError) throw new Error(listError);
      return [...held];
    },
    update: (batch) => apply("update", batch, (key, value) => held.set(key, value)),
    delete: (batch) => apply("delete", batch, (key) => held.delete(key)),
  };
  const clock = fakeClock();
  const health = createHealth(clock.now);
  const source = table.source("test");
  const put = (...rows: Row[]) =>
    db.write((tx) => {
      for (const row of rows) tx.put(table, row);
    });
  const remove = (...keys: string[]) =>
    db.write((tx) => {
      for (const key of keys) tx.delete(table, key);
    });
  const start = (options: { batchSize?: number; updatesFirst?: boolean } = {}) =>
    startReconciler({
      name: "r",
      table,
      db,
      ops,
      health,
      clock,
      signal: stop.signal,
      log: pino({ level: "silent" }),
      encode: (row: Row) => {
        if (row.value < 0) throw new Error("value is negative");
        return row.value;
      },
      backoff: { minMs: 100, maxMs: 1000, random: () => 0 },
      ...options,
    });
  const take = () => calls.splice(0);
  const line = () => health.rows().find((row) => row.name === "r")?.message;
  return {
    table,
    held,
    failing,
    clock,
    source,
    put,
    remove,
    start,
    take,
    line,
    stop,
    set listError(text: string | undefined) {
      listError = text;
    },
  };
}

test("adopts what is equal, writes what differs, prunes only when the table is ready", async () => {
  const w = world({ a: 1, b: 2, c: 3 });
  w.put({ key: "a", value: 1 }, { key: "b", value: 20 }, { key: "d", value: 4 });
  await using reconciler = w.start();
  await reconciler.waitUntil(w.table.revision);
  assert.deepEqual(w.take(), ["list", "update(b=20 d=4)"]);
  assert.equal(w.held.get("c"), 3);
  w.source.synced();
  await idle();
  assert.deepEqual(w.take(), ["delete(c=3)"]);
  assert.equal(w.line(), "OK, 3 object(s)");
  assert.deepEqual([...reconciler.status.all()].map((row) => `${row.key} ${row.state}`).sort(), [
    "a done",
    "b done",
    "d done",
  ]);
});

test("deletes go before updates; a key put and deleted between rounds costs nothing", async () => {
  const w = world();
  w.source.synced();
  await using reconciler = w.start();
  w.put({ key: "a", value: 1 });
  await reconciler.settled("a");
  w.take();
  w.put({ key: "b", value: 2 }, { key: "x", value: 9 });
  w.remove("a", "x");
  await reconciler.settled("a");
  assert.deepEqual(w.take(), ["delete(a=1)", "update(b=2)"]);
});

test("where entries stand in for one another updates go before deletes", async () => {
  const w = world();
  w.source.synced();
  await using reconciler = w.start({ updatesFirst: true });
  w.put({ key: "a", value: 1 });
  await reconciler.settled("a");
  w.take();
  w.put({ key: "b", value: 2 });
  w.remove("a");
  await reconciler.settled("a");
  assert.deepEqual(w.take(), ["update(b=2)", "delete(a=1)"]);
});

test("a failed key backs off by itself, the others go on, its newest row wins", async () => {
  const w = world();
  w.source.synced();
  await using reconciler = w.start();
  w.failing.set("a", "map is full");
  w.put({ key: "a", value: 1 }, { key: "b", value: 1 });
  await assert.rejects(reconciler.settled("a"), /r: a: map is full/);
  await reconciler.settled("b");
  assert.equal(w.line(), "Degraded, 1 error(s): a: map is full");
  assert.equal(reconciler.status.get("a")?.state, "error");
  w.take();
  await w.clock.advance(99);
  assert.deepEqual(w.take(), []);
  await w.clock.advance(1);
  assert.deepEqual(w.take(), ["update(a=1)"]);
  await w.clock.advance(199);
  assert.deepEqual(w.take(), []);
  w.failing.clear();
  w.put({ key: "a", value: 2 });
  const revision = w.table.revision;
  await reconciler.waitUntil(revision);
  assert.deepEqual(w.take(), ["update(a=2)"]);
  assert.equal(w.line(), "OK, 2 object(s)");
  await w.clock.advance(10_000);
  assert.deepEqual(w.take(), []);
});

test("waits in growing steps up to the limit, and a waiter for a revision waits for the retries", async () => {
  const w = world();
  w.source.synced();
  await using reconciler = w.start();
  w.failing.set("a", "no");
  w.put({ key: "a", value: 1 });
  let reached = false;
  const waiting = reconciler.waitUntil(w.table.revision).then(() => {
    reached = true;
  });
  const waits: number[] = [];
  for (let step = 0; step < 6; step++) {
    await idle();
    const next = w.clock.pending()[0]!;
    waits.push(next);
    await w.clock.advance(next);
  }
  assert.deepEqual(waits, [100, 200, 400, 800, 1000, 1000]);
  assert.equal(reached, false);
  w.failing.clear();
  await w.clock.advance(1000);
  await waiting;
});

test("a row deleted while its write fails is deleted in the kernel too", async () => {
  const w = world();
  w.source.synced();
  await using reconciler = w.start();
  w.failing.set("a", "half written");
  w.put({ key: "a", value: 1 });
  await assert.rejects(reconciler.settled("a"));
  w.failing.clear();
  w.take();
  w.remove("a");
  await reconciler.settled("a");
  assert.deepEqual(w.take(), ["delete(a=1)"]);
  assert.equal(reconciler.status.get("a"), undefined);
});

test("a row that cannot be encoded is an error of that row alone", async () => {
  const w = world();
  w.source.synced();
  await using reconciler = w.start();
  w.put({ key: "bad", value: -1 }, { key: "good", value: 1 });
  await assert.rejects(reconciler.settled("bad"), /value is negative/);
  assert.equal(w.held.get("good"), 1);
});

test("when the kernel cannot be listed nothing is written, and it is tried again", async () => {
  const w = world({ z: 1 });
  w.listError = "EPERM";
  w.source.synced();
  w.put({ key: "a", value: 1 });
  await using reconciler = w.start();
  await idle();
  w.put({ key: "b", value: 1 });
  await idle();
  assert.deepEqual(w.take(), ["list"]);
  assert.equal(w.line(), "cannot list: EPERM");
  w.listError = undefined;
  await w.clock.advance(100);
  await reconciler.waitUntil(w.table.revision);
  assert.deepEqual(w.take(), ["list", "delete(z=1)", "update(a=1 b=1)"]);
});

test("drift is repaired at the refresh", async () => {
  const w = world();
  w.source.synced();
  await using reconciler = w.start();
  w.put({ key: "a", value: 1 }, { key: "b", value: 1 });
  await reconciler.waitUntil(w.table.revision);
  w.held.delete("a");
  w.held.set("stranger", 5);
  w.take();
  await w.clock.advance(30 * 60_000);
  assert.deepEqual(w.take(), ["list", "delete(stranger=5)", "update(a=1)"]);
});

test("large amounts go in batches, and what changes meanwhile is not lost", async () => {
  const w = world();
  w.source.synced();
  await using reconciler = w.start({ batchSize: 2 });
  w.put(...["a", "b", "c", "d", "e"].map((key) => ({ key, value: 1 })));
  await new Promise((resolve) => setImmediate(resolve));
  w.put({ key: "e", value: 2 });
  await reconciler.waitUntil(w.table.revision);
  assert.deepEqual(w.take(), ["list", "update(a=1 b=1)", "update(c=1 d=1)", "update(e=1)", "update(e=2)"]);
});

test("stopping ends the waiters, a waiter's own signal ends it alone", async () => {
  const w = world();
  const reconciler = w.start();
  w.failing.set("a", "no");
  w.put({ key: "a", value: 1 });
  await idle();
  const own = new AbortController();
  const one = reconciler.waitUntil(w.table.revision, own.signal);
  const two = reconciler.waitUntil(w.table.revision);
  own.abort();
  await assert.rejects(one, { name: "AbortError" });
  w.stop.abort();
  await assert.rejects(two, { code: "E_STOPPED" });
  await assert.rejects(reconciler.settled("a"), { code: "E_STOPPED" });
  assert.deepEqual(w.clock.pending(), []);
});
