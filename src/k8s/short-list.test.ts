// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeClock } from "#kit/clock.ts";
import { ShortListGuard } from "./short-list.ts";

const names = (count: number) => Array.from({ length: count }, (_, i) => `o${i}`);

/** A guard, what a consistent list says at the moment, and what happened. */
function world() {
  const clock = fakeClock();
  const told: string[] = [];
  const server = { present: new Set<string>(), fails: false, lists: 0 };
  const guard = new ShortListGuard({
    clock,
    list: async () => {
      server.lists++;
      if (server.fails) throw new Error("away");
      return new Set(server.present);
    },
    remove: (keys) => told.push(`remove ${keys.join(" ")}`),
    onState: (missing, why) => told.push(`${why} ${missing}`),
  });
  return { clock, told, server, guard };
}

test("a few, or the lesser part, go at once", () => {
  const { guard, told } = world();
  assert.deepEqual(guard.check(names(4), 4), names(4));
  assert.deepEqual(guard.check(names(10), 20), names(10));
  assert.deepEqual(told, []);
});

test("most at once: only when three lists confirm it", async () => {
  const { guard, told, clock, server } = world();
  assert.deepEqual(guard.check(names(6), 8), []);
  await clock.advance(29_999);
  assert.deepEqual([told, server.lists], [["held 6"], 2]);
  await clock.advance(1);
  assert.deepEqual(told, ["held 6", `remove ${names(6).join(" ")}`, "confirmed 0"]);
  assert.deepEqual(clock.pending(), []);
});

test("what is there again stays; a server that is away confirms nothing", async () => {
  const { guard, told, clock, server } = world();
  guard.check(names(6), 6);
  server.fails = true;
  await clock.advance(600_000);
  assert.deepEqual(told, ["held 6"]);
  server.fails = false;
  server.present = new Set(names(5));
  await clock.advance(10_000);
  assert.deepEqual(told, ["held 6", "remove o5", "back 0"]);
});

test("a watch event about an object clears it; a new full list starts anew", async () => {
  const { guard, told, clock } = world();
  guard.check(names(6), 6);
  for (const name of names(2)) guard.seen(name);
  await clock.advance(10_000);
  assert.deepEqual(told, ["held 6", "remove o2 o3 o4 o5", "back 0"]);
  guard.check(names(6), 6);
  assert.deepEqual(guard.check([], 6), []);
  assert.deepEqual(told.slice(3), ["held 6", "back 0"]);
  await clock.advance(60_000);
  assert.equal(told.length, 5);
});
