// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RuleOrigin } from "./rule.ts";
import { RuleIds } from "./rule-ids.ts";

function origin(name: string, index = 0, uid = "u"): RuleOrigin {
  return { kind: "NetworkPolicy", namespace: "shop", name, uid, index, field: `spec.ingress[${index}]` };
}

test("equal sets have equal numbers, in any order, in another process, for an object made again", () => {
  const id = new RuleIds().idOf([origin("a"), origin("b")]);
  assert.equal(new RuleIds().idOf([origin("b", 0, "other"), origin("a"), origin("a")]), id);
  assert.notEqual(new RuleIds().idOf([origin("a", 1), origin("b")]), id);
  assert.equal(new RuleIds().idOf([]), 0);
});

test("sets that hash to one number get numbers of their own", () => {
  const ids = new RuleIds(() => 0xffffffff);
  const numbers = ["a", "b", "c"].map((name) => ids.idOf([origin(name)]));
  assert.deepEqual(numbers, [0xffffffff, 2, 3]);
  assert.deepEqual(
    numbers.map((id) => ids.origins(id)?.[0]?.name),
    ["a", "b", "c"],
  );
});

test("numbers out of use are known for a while, not for ever", () => {
  const ids = new RuleIds();
  const numbers = Array.from({ length: 5000 }, (_, index) => ids.idOf([origin(`p${index}`)]));
  ids.retain(new Set(numbers.slice(0, 100)));
  const known = numbers.filter((id) => ids.origins(id) !== undefined);
  assert.equal(known.length, 100 + 4096);
  assert.ok(numbers.slice(0, 100).every((id) => ids.origins(id)));
});
