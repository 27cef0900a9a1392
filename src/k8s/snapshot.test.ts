// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { pino } from "pino";
import { fakeClock, idle } from "#kit/clock.ts";
import { createHealth } from "#lib/health.ts";
import { type ReconcilerOps, startReconciler } from "#store/reconciler.ts";
import { Snapshots } from "#store/snapshot.ts";
import { Database } from "#store/table.ts";
import type { KubeClient } from "./client.ts";
import { KubeError } from "./errors.ts";
import { reflect } from "./reflect.ts";
import type { KubeObject } from "./resource.ts";

interface Row {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly count: bigint;
}

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "weft-snapshot-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const log = pino({ level: "silent" });
const resource = { group: "weft.test", version: "v1", plural: "things" };

/** A program that follows `things` and keeps a kernel equal to them. `objects` undefined: the API server is away. */
function start(kernel: Map<string, string>, format = "1") {
  const server: { objects: string[] | undefined } = { objects: undefined };
  const clock = fakeClock();
  const away = () => new KubeError("no answer", { status: 0, reason: "Unreachable" });
  const client = {
    // No WatchList here: lists, and watches that end at once.
    stream: async ({ query }: { query?: { sendInitialEvents?: boolean } }) => {
      if (server.objects === undefined) throw away();
      if (query?.sendInitialEvents) throw new KubeError("no WatchList", { status: 422, reason: "Invalid" });
      throw away();
    },
    list: async () => {
      if (server.objects === undefined) throw away();
      return {
        items: server.objects.map((name) => ({ metadata: { name, resourceVersion: "1" } })),
        resourceVersion: "1",
      };
    },
  } as unknown as KubeClient;
  const snapshots = new Snapshots({ dir, format, log, clock });
  const db = new Database({ snapshots });
  const table = db.table<Row>({ name: "things", key: (row) => row.name, columns: [] });
  const health = createHealth();
  const stop = new AbortController();
  const common = { db, health, log, clock, signal: stop.signal };
  const ops: ReconcilerOps<string> = {
    list: () => new Map(kernel),
    update(batch) {
      for (const [key, value] of batch) kernel.set(key, value);
      return undefined;
    },
    delete(batch) {
      for (const key of batch.keys()) kernel.delete(key);
      return undefined;
    },
  };
  const following = reflect<KubeObject, Row>({
    ...common,
    client,
    resource,
    table,
    random: () => 0,
    toRow: ({ metadata }) => ({ name: metadata!.name!, labels: new Map([["a", "b"]]), count: 7n }),
  });
  const reconciler = startReconciler({
    ...common,
    name: "things",
    table,
    ops,
    kernelIsNewer: true,
    encode: (row) => `${row.labels.get("a")} ${row.count}`,
  });
  const end = async () => {
    await snapshots.written();
    stop.abort();
    snapshots[Symbol.dispose]();
    await Promise.all([following[Symbol.asyncDispose](), reconciler[Symbol.asyncDispose]()]);
  };
  return { server, clock, table, snapshots, health, end };
}

/** Runs a program until it has kept what the server has. */
async function keep(objects: string[], kernel: Map<string, string>): Promise<void> {
  const first = start(kernel);
  first.server.objects = objects;
  await first.clock.advance(10_000);
  assert.equal(first.table.size, objects.length);
  await first.end();
}

test("without API server a start goes on with what was kept, takes nothing away, and then follows the real thing", async () => {
  const kernel = new Map<string, string>();
  await keep(["x", "y"], kernel);
  assert.deepEqual(
    [...kernel],
    [
      ["x", "b 7"],
      ["y", "b 7"],
    ],
  );
  // Written by the program of before a moment before it died: the snapshot does not know it.
  kernel.set("z", "b 7");
  kernel.set("y", "newer");

  const second = start(kernel);
  await second.clock.advance(4_999);
  assert.equal(second.table.isReady, false);
  await second.clock.advance(1);
  assert.equal(second.table.isReady, true);
  assert.deepEqual(
    [...second.table.all()].map(({ name }) => name),
    ["x", "y"],
  );
  assert.match(second.health.rows()[0]!.message, /2 object\(s\) as they were kept/);
  await second.clock.advance(60_000);
  assert.deepEqual(
    Object.fromEntries(kernel),
    { x: "b 7", y: "newer", z: "b 7" },
    "nobody has said otherwise",
  );

  second.server.objects = ["y"];
  await second.clock.advance(60_000);
  assert.equal(second.snapshots.held, false);
  assert.deepEqual([[...second.table.all()].length, [...kernel]], [1, [["y", "b 7"]]]);
  await second.end();
});

test("nothing kept, or by another version, or broken: a start waits", async () => {
  const kernel = new Map<string, string>();
  await keep(["x"], kernel);
  const other = start(kernel, "2");
  await other.clock.advance(60_000);
  assert.equal(other.table.isReady, false);
  await other.end();
  for (const name of readdirSync(dir)) writeFileSync(join(dir, name), '{"format":"1","obj');
  const broken = start(kernel);
  await broken.clock.advance(60_000);
  assert.equal(broken.table.isReady, false);
  assert.deepEqual([...kernel.keys()], ["x"]);
  await broken.end();
  await idle();
});

test("a list that lacks most of what was kept takes nothing away until it is confirmed", async () => {
  const kernel = new Map<string, string>();
  const names = ["a", "b", "c", "d", "e", "f"];
  await keep(names, kernel);
  const second = start(kernel);
  await second.clock.advance(5_000);
  second.server.objects = [];
  await second.clock.advance(20_000);
  assert.deepEqual([second.snapshots.held, kernel.size], [false, 6]);
  second.server.objects = names;
  await second.clock.advance(60_000);
  assert.equal(kernel.size, 6);
  assert.equal(second.table.size, 6);
  await second.end();
});
