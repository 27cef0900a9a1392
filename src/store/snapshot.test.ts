// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { pino } from "pino";
import { fakeClock } from "#kit/clock.ts";
import { type SnapshotObjects, Snapshots } from "./snapshot.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "weft-snapshot-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const log = pino({ level: "silent" });
const objects = (count: number, mark: string): SnapshotObjects =>
  Array.from({ length: count }, (_, i) => [
    `ns/${i}`,
    [{ mark, labels: new Map([["a", `${i}`]]), size: 7n }],
  ]);

test("a large one is written in steps, and read back as it was, plain rows and others", async () => {
  const clock = fakeClock();
  using snapshots = new Snapshots({ dir, format: "1", log, clock });
  const plain: SnapshotObjects = [["plain", [{ list: [1, "two", null, { three: true }] }]]];
  const all = [...objects(1200, "first"), ...plain];
  snapshots.changed("things", () => all);
  await clock.advance(1000);
  await snapshots.written();
  assert.deepEqual(snapshots.load("things"), all);
});

test("what changes while one is written is written after it", async () => {
  const clock = fakeClock();
  using snapshots = new Snapshots({ dir, format: "1", log, clock, writeAfterMs: 1000 });
  let mark = "first";
  const dump = () => {
    const dumped = objects(1200, mark);
    // After it was taken, before it is on disk.
    if (mark === "first") {
      mark = "second";
      queueMicrotask(() => snapshots.changed("things", dump));
    }
    return dumped;
  };
  snapshots.changed("things", dump);
  await clock.advance(1000);
  await snapshots.written();
  assert.deepEqual(snapshots.load("things"), objects(1200, "first"));
  await clock.advance(600_000);
  await snapshots.written();
  assert.deepEqual(snapshots.load("things"), objects(1200, "second"));
});

test("one that is stopped in the middle leaves nothing half", async () => {
  const clock = fakeClock();
  const snapshots = new Snapshots({ dir, format: "1", log, clock });
  snapshots.changed("things", () => {
    queueMicrotask(() => snapshots[Symbol.dispose]());
    return objects(1200, "first");
  });
  await clock.advance(1000);
  await snapshots.written();
  assert.deepEqual(readdirSync(dir), []);
});

test("an empty one is one, not none", async () => {
  const clock = fakeClock();
  using snapshots = new Snapshots({ dir, format: "1", log, clock });
  snapshots.changed("things", () => []);
  await clock.advance(1000);
  await snapshots.written();
  assert.deepEqual(snapshots.load("things"), []);
});
