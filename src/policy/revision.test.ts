// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { elementOf, entryOf } from "./entries.ts";
import { compareEntries, differences, revisionOf } from "./revision.ts";
import type { PolicyEntry } from "./rule.ts";

function entry(identity: number, more: Partial<PolicyEntry> = {}): PolicyEntry {
  const base = { direction: "ingress", identity, proto: 6, portBits: 16, port: 80 } as const;
  return { ...base, verdict: "allow", precedence: 524281, rule: 0xfffffff0, ...more };
}

test("any field makes another revision; the same content makes the same, in whatever order", () => {
  const list = [entry(1), entry(2)];
  const revision = revisionOf(list, true, false);
  assert.equal(revisionOf([entry(1), entry(2)], true, false), revision);
  assert.equal(revisionOf([entry(2), entry(1)], true, false), revision);
  const others = [
    [entry(1), entry(3)],
    [entry(1)],
    [entry(1), entry(2), entry(2)],
    ...(["direction", "proto", "portBits", "port", "verdict", "precedence", "rule"] as const).map((field) => [
      entry(1),
      entry(2, { [field]: { direction: "egress", verdict: "deny" }[field as string] ?? 1 }),
    ]),
  ];
  for (const other of others)
    assert.notEqual(revisionOf(other, true, false), revision, JSON.stringify(other));
  assert.notEqual(revisionOf(list, false, true), revision);
});

test("differences are what has to be written and what has to go", () => {
  const before = [entry(1), entry(2), entry(3), entry(5)];
  const after = [entry(0), entry(2), entry(3, { verdict: "deny" }), entry(6)].sort(compareEntries);
  const { put, gone } = differences(before, after);
  assert.deepEqual(
    put.map(({ identity, verdict }) => `${identity} ${verdict}`),
    ["0 allow", "3 deny", "6 allow"],
  );
  assert.deepEqual(
    gone.map(({ identity }) => identity),
    [1, 5],
  );
  assert.deepEqual(differences(before, before), { put: [], gone: [] });
});

test("map elements say the same as the entries they were made of", () => {
  for (const one of [
    entry(7),
    entry(0, { proto: 0, portBits: 0, port: 0 }),
    entry(9, { portBits: 0, port: 0 }),
    entry(9, { portBits: 5, port: 0x1800, direction: "egress", verdict: "deny" }),
  ]) {
    assert.deepEqual(entryOf(elementOf(one)), one);
  }
  assert.equal(elementOf(entry(0, { proto: 0, portBits: 0, port: 0 })).key.prefixlen, 40);
  assert.equal(elementOf(entry(1)).key.prefixlen, 64);
});
