// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { Database } from "#store/table.ts";
import { tellRefusals } from "./refusal-events.ts";
import { type PolicyRow, policyRefusalTable, policyTable } from "./table.ts";

test("an object is told once of each node that has no room for it, and again when it was edited", () => {
  const db = new Database();
  const policies = policyTable(db);
  const refusals = policyRefusalTable(db);
  const told: string[] = [];
  const events = {
    warn: (subject: { kind: string; name: string; namespace?: string }, reason: string, note: string) => {
      told.push(`${subject.kind} ${subject.namespace}/${subject.name} ${reason}: ${note}`);
    },
  };
  const stop = tellRefusals({ policies, refusals, nodeName: "n1", events });
  const row = (generation: number): PolicyRow => ({
    kind: "NetworkPolicy",
    namespace: "shop",
    name: "wide",
    uid: "u",
    generation,
    rules: [],
  });
  const refuse = (generation: number, count: number) =>
    db.write((tx) => {
      tx.put(policies, row(generation));
      tx.put(refusals, { policy: "NetworkPolicy shop/wide", count, limit: 20, message: `${count} of 20` });
    });
  refuse(1, 31);
  refuse(1, 32);
  refuse(2, 40);
  stop();
  refuse(3, 50);
  assert.deepEqual(told, [
    "NetworkPolicy shop/wide PolicyTooLarge: node n1: 31 of 20",
    "NetworkPolicy shop/wide PolicyTooLarge: node n1: 40 of 20",
  ]);
});
