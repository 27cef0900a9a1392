// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { enforcedCondition, type NodeWord } from "./policy-condition.ts";

const word = (node: string, selects: number, entries: number, refused?: string): NodeWord => ({
  node,
  said: { policy: "P", selects, entries, ...(refused !== undefined && { refused }) },
});
const told = (words: readonly NodeWord[], valid?: string) => {
  const { type, status, reason, message } = enforcedCondition(words, valid);
  assert.equal(type, "weft.io/Enforced");
  return [status, reason, message];
};

test("what nodes say of a policy makes one condition", () => {
  assert.deepEqual(told([]), ["True", "SelectsNothing", "selects nothing on any node"]);
  assert.deepEqual(told([word("n1", 1, 3)]), [
    ...["True", "InForce", "selects 1 endpoint on 1 node, takes part in 3 map entries (n1 3)"],
  ]);
  assert.deepEqual(told([word("n1", 2, 30), word("n2", 2, 90), word("n3", 1, 0)]), [
    ...["True", "InForce", "selects 5 endpoints on 3 nodes, takes part in 120 map entries (n2 90, n1 30)"],
  ]);
});

test("of many nodes the costliest are named", () => {
  const words = Array.from({ length: 8 }, (_, i) => word(`n${i}`, 1, 10 + i));
  assert.equal(
    told(words)[2],
    "selects 8 endpoints on 8 nodes, takes part in 110 map entries (n7 17, n6 16, n5 15, n4 14, n3 13 and 3 more)",
  );
});

test("a node that has no room makes it false for the cluster, and says why", () => {
  assert.deepEqual(
    told([word("n2", 1, 5, "too large"), word("n1", 0, 0, "far too large"), word("n3", 1, 7)]),
    [
      "False",
      "TooLarge",
      "as it was last written it is not in force on node n1: far too large; so say n2; selects 2 endpoints on 2 nodes, takes part in 12 map entries (n3 7, n2 5)",
    ],
  );
});

test("what is not valid is in force nowhere, but for what was before", () => {
  assert.deepEqual(told([word("n1", 1, 3)], "False").slice(0, 2), ["False", "NotValid"]);
});
