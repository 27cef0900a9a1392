// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLabels } from "#model/labels.ts";
import { PolicyEngine } from "./engine.ts";
import { policyKey } from "./policy-key.ts";
import type { ResolvedPolicy, Rule } from "./rule.ts";

function rule(name: string, app: string, port: number): Rule {
  return {
    origin: { kind: "NetworkPolicy", namespace: "shop", name, uid: "", index: 0, field: "spec.ingress[0]" },
    subject: { requirements: [{ key: "k8s:app", operator: "In", values: [app] }] },
    direction: "ingress",
    tier: "normal",
    priority: 0,
    action: "allow",
    peers: [
      { kind: "selector", selector: { requirements: [{ key: "k8s:peer", operator: "Exists", values: [] }] } },
    ],
    ports: [{ proto: 6, first: port, last: port }],
    defaultDeny: true,
  };
}

/** An engine with what it has said so far kept, as the controller's tables do. */
function start(limits?: { entries: number; cidrs: number; blocks: number }) {
  const engine = new PolicyEngine("default", [], limits);
  const maps = new Map<number, ResolvedPolicy>();
  const costs = new Map<string, readonly [number, number]>();
  const flush = () => {
    const changes = engine.flush();
    for (const policy of changes.policies) maps.set(policy.id, policy);
    for (const id of changes.gonePolicies) maps.delete(id);
    for (const { policy, entries, maps: count } of changes.costs) {
      if (entries > 0) costs.set(policy, [entries, count]);
      else costs.delete(policy);
    }
    return changes;
  };
  /** The same, counted in the maps as they are. */
  const counted = () => {
    const found = new Map<string, [number, number]>();
    for (const { entries } of maps.values()) {
      const here = new Map<string, number>();
      for (const entry of entries) {
        const origins = engine.ruleIds.origins(entry.rule) ?? [];
        const keys = new Set(origins.filter(({ kind }) => kind !== "Implicit").map(policyKey));
        for (const key of keys) here.set(key, (here.get(key) ?? 0) + 1);
      }
      for (const [key, count] of here) {
        const [entries = 0, of = 0] = found.get(key) ?? [];
        found.set(key, [entries + count, of + 1]);
      }
    }
    return found;
  };
  const check = () => assert.deepEqual(new Map([...costs].sort()), new Map([...counted()].sort()));
  const peer = (id: number) => engine.setIdentity({ id, labels: parseLabels([`k8s:peer=${id}`]) });
  const endpoint = (id: number, app: string) =>
    engine.setEndpoint({ id, labels: parseLabels([`k8s:app=${app}`]), namedPorts: [] });
  return { engine, costs, flush, check, peer, endpoint };
}

const [a, b] = ["NetworkPolicy shop/a", "NetworkPolicy shop/b"] as const;

test("a policy costs the entries it takes part in; pods with the same policies share them", () => {
  const { engine, costs, flush, check, peer, endpoint } = start();
  for (let id = 1000; id < 1010; id++) peer(id);
  engine.setPolicy(a, [rule("a", "web", 80)]);
  endpoint(1, "web");
  endpoint(2, "web");
  flush();
  // Ten peers, and the default deny.
  assert.deepEqual([...costs], [[a, [11, 1]]]);
  engine.setPolicy(b, [rule("b", "web", 81)]);
  flush();
  // The default deny is of both.
  assert.deepEqual([...costs].sort(), [
    [a, [11, 1]],
    [b, [11, 1]],
  ]);
  check();
});

test("what a change costs is counted from the change alone, and is what a count of all would be", () => {
  const { engine, costs, flush, check, peer, endpoint } = start();
  engine.setPolicy(a, [rule("a", "web", 80), rule("a", "db", 90)]);
  engine.setPolicy(b, [rule("b", "db", 90)]);
  endpoint(1, "web");
  endpoint(2, "db");
  for (let id = 1000; id < 1005; id++) peer(id);
  flush();
  check();
  assert.deepEqual(costs.get(a), [12, 2]);
  peer(1005);
  assert.deepEqual(flush().costs.length, 2);
  check();
  engine.removeIdentity(1001);
  flush();
  check();
  engine.setPolicy(a, [rule("a", "web", 80)]);
  flush();
  check();
  engine.removeEndpoint(2);
  flush();
  assert.deepEqual([...costs.keys()], [a]);
  check();
  engine.setPolicy(a, []);
  flush();
  assert.deepEqual([...costs], []);
});

test("what is refused costs what stays in force", () => {
  const { engine, costs, flush, check, peer, endpoint } = start({ entries: 15, cidrs: 3, blocks: 3 });
  for (let id = 1000; id < 1010; id++) peer(id);
  endpoint(1, "web");
  engine.setPolicy(a, [rule("a", "web", 80)]);
  flush();
  engine.setPolicy(b, [rule("b", "web", 81)]);
  flush();
  assert.deepEqual([...costs], [[a, [11, 1]]]);
  check();
  for (let id = 1010; id < 1020; id++) peer(id);
  flush();
  assert.deepEqual([...costs], [[a, [11, 1]]]);
  check();
  for (let id = 1010; id < 1018; id++) engine.removeIdentity(id);
  flush();
  assert.equal(costs.get(a)![0], 13);
  check();
});
