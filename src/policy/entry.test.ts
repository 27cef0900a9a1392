// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { elementOf } from "./entries.ts";
import { entryFor, plainEntry, type Said } from "./entry.ts";

const said: Said = {
  ...{ direction: "ingress", proto: 6, portBits: 16, port: 80, verdict: "allow", precedence: 7, rule: 9 },
};

test("an entry that shares what it says with others is like one of its own", () => {
  for (const step of [{}, { round: 2 as const }, { audit: true as const }]) {
    const own = { identity: 1000, ...said, ...step };
    const shared = entryFor(1000, { ...said, ...step });
    assert.deepEqual(plainEntry(shared), own);
    assert.deepEqual(elementOf(shared), elementOf(own));
  }
});
