// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { worldBlocks, worldIdentities, worldRules, worldSubject } from "#kit/policy-world.ts";
import fc from "#kit/property.ts";
import { inPlace } from "./in-place.ts";
import { IdentityIndex } from "./peer-index.ts";
import { resolve } from "./resolve.ts";
import type { PolicyEntry, ResolvedPolicy, Rule } from "./rule.ts";
import { RuleIds } from "./rule-ids.ts";
import { verdict } from "./verdict.ts";

const identities = [...worldIdentities, ...worldBlocks];
const ruleIds = new RuleIds();

function resolved(rules: readonly Rule[], known: readonly (typeof identities)[number][]): ResolvedPolicy {
  const peers = new IdentityIndex();
  for (const identity of known) {
    peers.put(identity);
    peers.setPorts(identity.id, identity.ports);
  }
  const ruleId = ruleIds.idOf.bind(ruleIds);
  return resolve({ id: 1, rules, peers, ports: worldSubject.ports, ruleId, enforcement: "default" });
}

const keyOf = ({ direction, round, audit, identity, proto, port, portBits }: PolicyEntry) =>
  [direction, round, audit, identity, proto, port, portBits].join();

/** The policy after each single write. */
function* stages(before: ResolvedPolicy, after: ResolvedPolicy): Generator<ResolvedPolicy> {
  const steps = inPlace(before, after);
  if (!steps) return;
  const held = new Map(before.entries.map((entry) => [keyOf(entry), entry]));
  for (const entry of steps.put) {
    held.set(keyOf(entry), entry);
    yield { ...after, entries: [...held.values()] };
  }
  for (const entry of steps.gone) {
    held.delete(keyOf(entry));
    yield { ...after, entries: [...held.values()] };
  }
  const text = (entries: Iterable<PolicyEntry>) => JSON.stringify([...entries].map(keyOf).sort());
  assert.equal(text(held.values()), text(after.entries));
}

const questions = (["ingress", "egress"] as const).flatMap((direction) =>
  [...worldIdentities, { id: 7777 }].flatMap(({ id }) =>
    [undefined, ...worldBlocks].flatMap((block) =>
      [
        [6, 80],
        [6, 8081],
        [17, 53],
        [1, 8],
      ].map(([proto, port]) => ({
        direction,
        identity: id,
        ...(block && { block: block.id }),
        proto: proto!,
        port: port!,
      })),
    ),
  ),
);

function holds(before: ResolvedPolicy, after: ResolvedPolicy): void {
  for (const stage of stages(before, after)) {
    for (const question of questions) {
      const said = verdict(stage, question);
      const fits = [before, after].some((one) => {
        const { verdict: wanted, entry } = verdict(one, question);
        return wanted === said.verdict && entry?.rule === said.entry?.rule;
      });
      assert.ok(fits, `${JSON.stringify(question)}: ${said.verdict} is neither what was nor what will be`);
    }
  }
}

test("written in place, every packet is judged by what was or by what will be after each write", () => {
  const sets = fc.tuple(fc.subarray(identities), fc.subarray(identities));
  const cases = fc.property(
    worldRules,
    worldRules,
    sets,
    fc.boolean(),
    (rules, others, [some, more], edited) => {
      holds(resolved(rules, some), resolved(edited ? others : rules, more));
    },
  );
  fc.assert(cases, { numRuns: 60 });
});

test("an identity that joins is written in place, whatever number of entries it has", () => {
  const rule = (index: number, peer: string, port: number): Rule => ({
    origin: { kind: "Test", namespace: "", name: "one", uid: "", index },
    subject: { requirements: [] },
    direction: "ingress",
    tier: "normal",
    priority: 0,
    action: "allow",
    peers: [
      { kind: "selector", selector: { requirements: [{ key: "k8s:app", operator: "In", values: [peer] }] } },
    ],
    ports: [{ proto: 6, first: port, last: port + 100 }],
    defaultDeny: true,
  });
  const rules = [rule(0, "web", 1000), rule(1, "web", 5000), rule(2, "db", 7000)];
  const all = [...worldIdentities];
  const [first, last] = [resolved(rules, all.slice(0, -4)), resolved(rules, all)];
  const steps = inPlace(first, last);
  assert.ok(steps && steps.put.length > 3 && steps.gone.length === 0);
  assert.equal(inPlace(last, first)?.gone.length, steps.put.length);
});
