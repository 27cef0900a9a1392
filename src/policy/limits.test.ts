// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePrefix } from "#model/ip.ts";
import { parseLabels } from "#model/labels.ts";
import { PolicyEngine } from "./engine.ts";
import type { Rule } from "./rule.ts";

const limits = { entries: 20, cidrs: 3, blocks: 3 };

function rule(name: string, port: number, peers?: Rule["peers"]): Rule {
  return {
    origin: { kind: "NetworkPolicy", namespace: "shop", name, uid: "", index: 0 },
    subject: { requirements: [] },
    direction: "ingress",
    tier: "normal",
    priority: 0,
    action: "allow",
    peers: peers ?? [
      { kind: "selector", selector: { requirements: [{ key: "k8s:app", operator: "Exists", values: [] }] } },
    ],
    ports: [{ proto: 6, first: port, last: port }],
    defaultDeny: true,
  };
}

function start(identities: number): PolicyEngine {
  const engine = new PolicyEngine("default", [], limits);
  for (let id = 1000; id < 1000 + identities; id++)
    engine.setIdentity({ id, labels: parseLabels([`k8s:app=${id}`]) });
  engine.setEndpoint({ id: 1, labels: parseLabels(["k8s:app=web"]), namedPorts: [] });
  return engine;
}

const [a, b] = ["NetworkPolicy shop/a", "NetworkPolicy shop/b"] as const;

test("a policy with which a map would be too large is refused, and the others stay in force", () => {
  const engine = start(10);
  engine.setPolicy(a, [rule("a", 80)]);
  const [held] = engine.flush().policies;
  assert.deepEqual(engine.refusals(), []);
  engine.setPolicy(b, [rule("b", 81), rule("b", 82)]);
  const result = engine.flush();
  for (const { id, revision } of result.policies)
    assert.deepEqual([id, revision], [held!.id, held!.revision]);
  assert.deepEqual(
    result.endpoints.map(({ policyId, policies }) => [policyId, policies]),
    [[held!.id, [a]]],
  );
  assert.ok(!result.gonePolicies.includes(held!.id));
  const [refusal] = engine.refusals();
  assert.deepEqual([refusal?.policy, refusal?.limit], [b, 20]);
  assert.match(
    refusal!.message,
    /^NetworkPolicy shop\/b: a policy map of this node would have 3\d entries with it, more than 20; /,
  );
});

test("an edit that does not fit leaves the policy as it was; it is in force when there is room", () => {
  const engine = start(10);
  engine.setPolicy(a, [rule("a", 80)]);
  const [held] = engine.flush().policies;
  engine.setPolicy(a, [rule("a", 80), rule("a", 81), rule("a", 82)]);
  assert.deepEqual(engine.flush().policies, []);
  assert.equal(engine.refusals().length, 1);
  for (let id = 1003; id < 1010; id++) engine.removeIdentity(id);
  engine.setPolicy(b, []);
  engine.setPolicy(b, [rule("b", 90, [])]);
  const { policies } = engine.flush();
  assert.deepEqual(engine.refusals(), []);
  assert.ok(policies.length === 1 && policies[0]!.entries.length > 8 && policies[0]!.id !== held!.id);
});

test("a map that grows with the cluster past what it holds stays as it was, and its costliest policy says so", () => {
  const engine = start(10);
  engine.setPolicy(a, [rule("a", 80)]);
  engine.flush();
  for (let id = 2000; id < 2020; id++) engine.setIdentity({ id, labels: parseLabels([`k8s:app=${id}`]) });
  assert.deepEqual(engine.flush().policies, []);
  assert.deepEqual(
    engine.refusals().map(({ policy }) => policy),
    [a],
  );
});

test("prefixes that do not fit are refused before anything is made of them", () => {
  const engine = start(1);
  const blocks = (...list: string[]): Rule["peers"] =>
    list.map((prefix) => ({ kind: "block", prefix: parsePrefix(prefix), except: [] }));
  engine.setPolicy(a, [rule("a", 80, blocks("10.0.0.0/8", "10.1.0.0/16"))]);
  engine.setPolicy(b, [rule("b", 80, blocks("10.0.0.0/8", "10.2.0.0/16", "10.3.0.0/16"))]);
  engine.flush();
  assert.deepEqual(
    engine.refusals().map(({ policy, count, limit }) => [policy, count, limit]),
    [[b, 4, 3]],
  );
  assert.deepEqual([...engine.requiredPrefixes().blocks], ["10.0.0.0/8", "10.1.0.0/16"]);
  engine.setPolicy(a, []);
  engine.flush();
  assert.deepEqual(engine.refusals(), []);
  assert.equal(engine.requiredPrefixes().blocks.size, 3);
});
