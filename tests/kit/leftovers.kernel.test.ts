// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { it } from "node:test";
import { createNetns, deleteNetns, listNetns } from "#kernel/netns.ts";
import { sweepLeftovers } from "./leftovers.ts";

it("takes away what a process that is gone has made, and nothing else", async () => {
  const { pid: gone } = spawnSync("true");
  const [left, mine, others] = [`c-pkt-${gone}-v0`, `c-pkt-${process.pid}-v0`, `kept-${gone}`];
  for (const name of [left, mine, others]) createNetns(name);
  try {
    assert.ok((await sweepLeftovers()).includes(left));
    const there = listNetns();
    assert.deepEqual(
      [there.includes(left), there.includes(mine), there.includes(others)],
      [false, true, true],
    );
  } finally {
    for (const name of [left, mine, others]) deleteNetns(name);
  }
});
