// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { worldIdentities, worldRules, worldSubject } from "#kit/policy-world.ts";
import fc from "#kit/property.ts";
import { PolicyEngine } from "./engine.ts";
import type { ResolvedPolicy, Rule } from "./rule.ts";
import type { EndpointPolicyRow } from "./table.ts";

type Step =
  | { readonly do: "policy"; readonly name: string; readonly rules: readonly Rule[] }
  | { readonly do: "endpoint"; readonly id: number; readonly present: boolean }
  | { readonly do: "identity" | "pod"; readonly index: number; readonly present: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("policy" as const), name: fc.constantFrom("a", "b", "c"), rules: worldRules }),
  fc.record({ do: fc.constant("endpoint" as const), id: fc.constantFrom(1, 2, 3), present: fc.boolean() }),
  fc.record({
    do: fc.constantFrom("identity" as const, "pod" as const),
    index: fc.nat(worldIdentities.length - 1),
    present: fc.boolean(),
  }),
);

const endpoints = new Map([
  [1, { id: 1, labels: worldSubject.labels, namedPorts: worldSubject.ports }],
  [2, { id: 2, labels: worldSubject.labels, namedPorts: [] }],
  [3, { id: 3, labels: worldIdentities[4]!.labels, namedPorts: worldSubject.ports }],
]);

function apply(engine: PolicyEngine, one: Step): void {
  if (one.do === "policy") engine.setPolicy(one.name, about(one.rules));
  else if (one.do === "endpoint" && one.present) engine.setEndpoint(endpoints.get(one.id)!);
  else if (one.do === "endpoint") engine.removeEndpoint(one.id);
  else {
    const identity = worldIdentities[one.index]!;
    if (one.do === "identity" && one.present) engine.setIdentity(identity);
    else if (one.do === "identity") engine.removeIdentity(identity.id);
    else
      engine.setPod(
        `pod-${one.index}`,
        one.present ? { identity: identity.id, ports: identity.ports } : undefined,
      );
  }
}

/** Some of the rules are about some of the endpoints only. */
function about(rules: readonly Rule[]): Rule[] {
  const web = { requirements: [{ key: "k8s:app", operator: "In", values: ["web"] } as const] };
  return rules.map((rule, index) => (index % 2 === 0 ? rule : { ...rule, subject: web }));
}

/** What the tables would hold after all flushes. */
class Held {
  readonly policies = new Map<number, ResolvedPolicy>();
  readonly endpoints = new Map<number, EndpointPolicyRow>();

  take(engine: PolicyEngine, gone: readonly number[]): void {
    const { policies, gonePolicies, endpoints: rows } = engine.flush();
    for (const policy of policies) this.policies.set(policy.id, policy);
    for (const id of gonePolicies) this.policies.delete(id);
    for (const row of rows) this.endpoints.set(row.endpointId, row);
    for (const id of gone) this.endpoints.delete(id);
  }
}

test("after any changes in any order, what is held is what a fresh start makes of the same state", () => {
  const cases = fc.property(fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 12 }), (batches) => {
    const engine = new PolicyEngine("default");
    const held = new Held();
    const last = new Map<string, Step>();
    for (const batch of batches) {
      for (const one of batch) {
        apply(engine, one);
        last.set(
          `${one.do} ${one.do === "policy" ? one.name : one.do === "endpoint" ? one.id : one.index}`,
          one,
        );
      }
      held.take(
        engine,
        batch.flatMap((one) => (one.do === "endpoint" && isGone(last, one.id) ? [one.id] : [])),
      );
    }
    const fresh = new PolicyEngine("default");
    const wanted = new Held();
    for (const one of [...last.values()].sort((a, b) => (a.do < b.do ? -1 : 1))) apply(fresh, one);
    wanted.take(fresh, []);
    assert.deepEqual(sorted(held.policies), sorted(wanted.policies));
    assert.deepEqual(sorted(held.endpoints), sorted(wanted.endpoints));
  });
  fc.assert(cases, { numRuns: 400 });
});

function isGone(last: ReadonlyMap<string, Step>, id: number): boolean {
  const one = last.get(`endpoint ${id}`);
  return one?.do === "endpoint" && !one.present;
}

function sorted<V>(map: ReadonlyMap<number, V>): [number, V][] {
  return [...map].sort(([a], [b]) => a - b);
}
