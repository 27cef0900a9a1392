// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { nodePolicies, roughly } from "./node-status.ts";
import type { EndpointPolicyRow } from "./table.ts";

const endpoint = (endpointId: number, ...policies: string[]): EndpointPolicyRow => ({
  ...{ endpointId, policyId: 1, revision: 1, enforceIngress: true, enforceEgress: false, policies },
});

test("counts are told to two digits", () => {
  const counts = [0, 7, 99, 100, 104, 105, 1234, 131_071];
  assert.deepEqual(counts.map(roughly), [0, 7, 99, 100, 100, 110, 1200, 130_000]);
});

test("a node says what its policies select and cost, and which it has no room for", () => {
  const said = nodePolicies({
    costs: [
      { policy: "NetworkPolicy shop/web", entries: 1234, maps: 2 },
      { policy: "NetworkPolicy shop/db", entries: 3, maps: 1 },
    ],
    refusals: [{ policy: "NetworkPolicy shop/wide", count: 9, limit: 5, message: "too large" }],
    endpointPolicies: [
      endpoint(1, "NetworkPolicy shop/web", "NetworkPolicy shop/db"),
      endpoint(2, "NetworkPolicy shop/web"),
    ],
    policyMaps: [],
  });
  assert.deepEqual(said, {
    summary: { policies: 2, refused: 1, entries: 0 },
    policies: [
      { policy: "NetworkPolicy shop/db", selects: 1, entries: 3 },
      { policy: "NetworkPolicy shop/web", selects: 2, entries: 1200 },
      { policy: "NetworkPolicy shop/wide", selects: 0, entries: 0, refused: "too large" },
    ],
  });
});

test("of very many policies the cheapest are left out, refusals never", () => {
  const costs = Array.from({ length: 1500 }, (_, i) => ({ policy: `P ${i}`, entries: i + 1, maps: 1 }));
  const refusals = [{ policy: "P 0", count: 2, limit: 1, message: "too large" }];
  const { summary, policies } = nodePolicies({ costs, refusals, endpointPolicies: [], policyMaps: [] });
  assert.deepEqual([policies.length, summary.omitted, summary.refused], [1000, 500, 1]);
  assert.ok(policies.some(({ policy }) => policy === "P 0"));
  assert.ok(!policies.some(({ policy }) => policy === "P 1"));
});
