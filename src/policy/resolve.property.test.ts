// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { judge } from "#kit/policy-oracle.ts";
import { worldBlocks, worldIdentities, worldPort, worldRules, worldSubject } from "#kit/policy-world.ts";
import fc from "#kit/property.ts";
import { IdentityIndex } from "./peer-index.ts";
import { resolve } from "./resolve.ts";
import type { Rule } from "./rule.ts";
import { originText, RuleIds } from "./rule-ids.ts";
import { verdict } from "./verdict.ts";

const peers = new IdentityIndex();
for (const identity of [...worldIdentities, ...worldBlocks]) {
  peers.put(identity);
  peers.setPorts(identity.id, identity.ports);
}

const question = fc.record({
  direction: fc.constantFrom("ingress" as const, "egress" as const),
  peer: fc.constantFrom(...worldIdentities, { id: 7777, labels: undefined, ports: [] }),
  block: fc.constantFrom(undefined, ...worldBlocks),
  proto: fc.constantFrom(6, 17, 1, 132, 47),
  port: worldPort,
});

function check(
  rules: readonly Rule[],
  questions: readonly (typeof question extends fc.Arbitrary<infer Q> ? Q : never)[],
): void {
  const ruleIds = new RuleIds();
  const ruleId = ruleIds.idOf.bind(ruleIds);
  const policy = resolve({ id: 1, rules, peers, ports: worldSubject.ports, ruleId, enforcement: "default" });
  for (const { direction, peer, block, proto, port } of questions) {
    const wanted = judge(rules, {
      direction,
      subject: worldSubject,
      peer,
      block: block?.labels,
      proto,
      port,
    });
    const got = verdict(policy, {
      direction,
      identity: peer.id,
      ...(block && { block: block.id }),
      proto,
      port,
    });
    const at = `${direction} ${peer.id} ${block?.id} ${proto}/${port}`;
    assert.equal(got.verdict, wanted.verdict, at);
    if (!got.explicit || wanted.rules.length === 0) continue;
    const allowed = new Set(wanted.rules.map((rule) => originText(rule.origin)));
    for (const origin of ruleIds.origins(got.entry!.rule)!)
      assert.ok(allowed.has(originText(origin)), `${at} names ${originText(origin)}`);
  }
  const keys = policy.entries.map(({ direction, round, audit, identity, proto, port, portBits }) =>
    [direction, round, audit, identity, proto, port, portBits].join(),
  );
  assert.equal(new Set(keys).size, keys.length, "one entry a key");
  for (const { port, portBits } of policy.entries)
    assert.equal(port & (0xffff >>> portBits), 0, "no bits past the prefix");
}

const anywhere = { peers: undefined, ports: undefined, defaultDeny: false } as const;
const about = { direction: "ingress", subject: { requirements: [] }, priority: 0 } as const;

function named(name: string, what: Omit<Rule, "origin">): Rule {
  return { origin: { kind: "Test", namespace: "shop", name, uid: "", index: 0 }, ...what };
}

/** Cases that once failed, shrunk. */
const kept: readonly (readonly [readonly Rule[], Parameters<typeof check>[1]])[] = [
  // A pass for anybody that leads to a rule, and for some through a second pass to the default.
  [
    [
      named("allow", { ...about, ...anywhere, tier: "baseline", action: "allow" }),
      named("some", {
        ...about,
        ...anywhere,
        peers: [{ kind: "entity", entity: "cluster" }],
        tier: "baseline",
        action: "pass",
      }),
      named("pass", {
        ...about,
        ...anywhere,
        ports: [{ proto: 6, first: 0, last: 0 }],
        tier: "admin",
        action: "pass",
      }),
    ],
    [{ direction: "ingress", peer: worldIdentities[3]!, block: undefined, proto: 6, port: 0 }],
  ],
];

test("the entries answer every question as the rules do", () => {
  for (const [rules, questions] of kept) check(rules, questions);
  const cases = fc.property(
    worldRules,
    fc.array(question, { minLength: 20, maxLength: 20 }),
    (rules, questions) => {
      check(rules, questions);
    },
  );
  fc.assert(cases, { numRuns: 1500 });
});
