// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { changedValues, checkChanges, checkVersion, compareVersions } from "./changes.ts";

test("changed values are named by their paths", () => {
  assert.deepEqual(changedValues({ a: { b: 1, c: [1] }, d: 1 }, { a: { b: 2, c: [1] }, e: 3 }), [
    { path: "a.b", from: 1, to: 2 },
    { path: "d", from: 1, to: undefined },
    { path: "e", from: undefined, to: 3 },
  ]);
});

test("only what interrupts is refused, unless accepted", () => {
  const change = (path: string) => [{ path, from: "a", to: "b" }];
  checkChanges(change("config.flowBuffer"), false);
  assert.throws(() => checkChanges(change("config.routing"), false), { code: "E_DISRUPTIVE" });
  checkChanges(change("config.routing"), true);
});

test("versions are ordered; an older one is not brought unasked", () => {
  const sorted = ["0.9.10", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.10.0", "2.0.0"];
  assert.deepEqual(sorted.toReversed().sort(compareVersions), sorted);
  assert.throws(() => checkVersion("1.1.0", "1.0.0", false), { code: "E_DOWNGRADE" });
  checkVersion("1.1.0", "1.0.0", true);
  checkVersion("1.0.0", "1.0.0", false);
});
