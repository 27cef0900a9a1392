// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { Database } from "#store/table.ts";

interface Row {
  readonly key: string;
  readonly value: number;
}

function fresh() {
  const db = new Database();
  const table = db.table<Row>({ name: "rows", key: (row) => row.key, columns: [] });
  const put = (key: string, value: number) => db.write((tx) => tx.put(table, { key, value }));
  const remove = (key: string) => db.write((tx) => tx.delete(table, key));
  return { db, table, put, remove };
}

test("a stream begins with the whole table, then carries net changes only", async () => {
  const { table, put, remove } = fresh();
  put("a", 1);
  const stop = new AbortController();
  const stream = table.changes(stop.signal);
  const first = await stream.next();
  assert.deepEqual([...first.value!.keys()], ["a"]);
  put("b", 1);
  put("b", 2);
  put("c", 1);
  remove("c");
  remove("a");
  const second = await stream.next();
  assert.deepEqual(
    [...second.value!].map(([key, change]) => `${change.kind} ${key}=${change.row.value}`).sort(),
    ["delete a=1", "put b=2"],
  );
  const third = stream.next();
  stop.abort();
  assert.equal((await third).done, true);
});

test("an empty table's stream begins with an empty batch", async () => {
  const { table } = fresh();
  const stream = table.changes(AbortSignal.timeout(10_000));
  assert.equal((await stream.next()).value?.size, 0);
  await stream.return?.();
});

test("a table is ready when each of its sources has delivered, and takes no more sources then", async () => {
  const { table } = fresh();
  const [one, two] = [table.source("one"), table.source("two")];
  one.synced();
  one.synced();
  assert.equal(table.isReady, false);
  two.synced();
  await table.ready;
  assert.throws(() => table.source("late"), { code: "E_TABLE" });
});

test("a write over two tables is undone in both when it throws, and nobody is told", () => {
  const { db, table, put } = fresh();
  const other = db.table<Row>({ name: "other", key: (row) => row.key, columns: [] });
  put("a", 1);
  let told = 0;
  table.onCommit(() => told++);
  other.onCommit(() => told++);
  assert.throws(() =>
    db.write((tx) => {
      tx.put(table, { key: "a", value: 2 });
      tx.put(other, { key: "x", value: 1 });
      tx.delete(table, "a");
      throw new Error("on purpose");
    }),
  );
  assert.deepEqual([table.get("a")?.value, other.size, told], [1, 0, 0]);
});

test("listeners hear after the whole write, and may write themselves", () => {
  const { db, table } = fresh();
  const copy = db.table<Row>({ name: "copy", key: (row) => row.key, columns: [] });
  const seen: string[] = [];
  table.onCommit((keys) => {
    seen.push([...keys].join());
    db.write((tx) => {
      for (const key of keys) tx.put(copy, table.get(key)!);
    });
  });
  db.write((tx) => {
    tx.put(table, { key: "a", value: 1 });
    tx.put(table, { key: "b", value: 1 });
  });
  assert.deepEqual([seen, copy.size], [["a,b"], 2]);
});

test("a reader that throws harms neither the writer nor other readers", async (t) => {
  const { table, put } = fresh();
  const later: (() => void)[] = [];
  t.mock.method(globalThis, "queueMicrotask", (callback: () => void) => later.push(callback));
  let told = 0;
  table.onCommit(() => {
    throw new Error("reader's fault");
  });
  table.onCommit(() => told++);
  put("a", 1);
  assert.equal(told, 1);
  assert.throws(later[0]!, /reader's fault/, "it ends the program instead of being lost");
});

test("unknown indexes and taken names are refused", () => {
  const { db, table } = fresh();
  assert.throws(() => table.by("nope", "x"), { code: "E_TABLE" });
  assert.throws(() => db.table<Row>({ name: "rows", key: (row) => row.key, columns: [] }), {
    code: "E_TABLE",
  });
});
