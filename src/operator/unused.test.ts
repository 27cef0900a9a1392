// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { UnusedIdentities } from "./unused.ts";

const graceMs = 900_000;
const minute = 60_000;

/** One identity, swept every minute by an operator whose clock runs beside the wall clock. */
function world() {
  let unusedSinceMs: number | undefined;
  let unused = new UnusedIdentities();
  let nowMs = 5;
  let wallMs = 1_000_000_000;
  const state = { used: false, deleted: false };
  const sweep = () => {
    const row = {
      id: 300,
      uid: "u",
      resourceVersion: "1",
      ...(unusedSinceMs !== undefined && { unusedSinceMs }),
    };
    const verdict = unused.sweep([row], () => state.used, { nowMs, wallMs, graceMs }).get(300);
    if (verdict === "mark") unusedSinceMs = wallMs;
    if (verdict === "unmark") unusedSinceMs = undefined;
    if (verdict === "delete") state.deleted = true;
    return verdict;
  };
  return {
    state,
    sweep,
    /** Minutes pass, with a sweep after each; stops when it is deleted. @returns how many passed */
    pass(minutes: number): number {
      for (let i = 1; i <= minutes; i++) {
        nowMs += minute;
        wallMs += minute;
        sweep();
        if (state.deleted) return i;
      }
      return minutes;
    },
    restart() {
      unused = new UnusedIdentities();
      nowMs = 0;
    },
    jump(ms: number) {
      wallMs += ms;
    },
    marked: () => unusedSinceMs !== undefined,
  };
}

test("an identity is marked at the second sweep that finds it unused, and deleted after the grace time", () => {
  const { state, sweep, pass, marked } = world();
  assert.equal(sweep(), undefined);
  pass(1);
  assert.equal(marked(), true);
  assert.equal(pass(14), 14);
  assert.equal(state.deleted, false);
  assert.equal(pass(10), 1);
});

test("one that is used again stays, unmarked", () => {
  const { state, pass, sweep, marked } = world();
  pass(10);
  state.used = true;
  assert.equal(sweep(), "unmark");
  assert.equal(marked(), false);
  assert.equal(sweep(), undefined);
  state.used = false;
  pass(15);
  assert.equal(state.deleted, false);
});

test("an operator that comes back goes on where the other was, but looks for two minutes itself", () => {
  const { state, pass, restart, sweep } = world();
  pass(14);
  restart();
  sweep();
  assert.equal(pass(5), 3);
  assert.equal(state.deleted, true);
});

test("a wall clock that jumps deletes nothing that has just become unused", () => {
  const { state, pass, jump, sweep } = world();
  pass(2);
  jump(86_400_000);
  sweep();
  assert.equal(state.deleted, false);
});

test("a used identity needs nothing", () => {
  const { state, sweep } = world();
  state.used = true;
  assert.equal(sweep(), undefined);
});
