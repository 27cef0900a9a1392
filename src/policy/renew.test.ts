// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { worldIdentities, worldRules, worldSubject } from "#kit/policy-world.ts";
import fc from "#kit/property.ts";
import type { DistinctPolicy } from "./distinct.ts";
import { IdentityIndex } from "./peer-index.ts";
import { renewAll, renewSome } from "./renew.ts";
import { resolve, resolver } from "./resolve.ts";
import { RuleIds } from "./rule-ids.ts";

/** Identities like those of the world, many of each. */
const many = Array.from({ length: 120 }, (_, index) => {
  const like = worldIdentities[index % worldIdentities.length]!;
  return {
    ...like,
    id: like.id < 256 ? like.id : like.id + 100 * Math.floor(index / worldIdentities.length),
  };
});

test("what some identities change is what resolving anew makes of it, whether few or many", () => {
  const cases = fc.property(worldRules, fc.array(fc.subarray(many), { maxLength: 4 }), (rules, rounds) => {
    const peers = new IdentityIndex();
    const ruleIds = new RuleIds();
    const ruleId = ruleIds.idOf.bind(ruleIds);
    const input = { id: 1, rules, peers, ports: worldSubject.ports, ruleId, enforcement: "default" as const };
    const own = resolver(input);
    const policy = { id: 1, resolved: undefined, resolver: undefined, sum: 0 } as unknown as DistinctPolicy;
    renewAll(policy, own);
    const known = new Set<number>();
    for (const round of rounds) {
      for (const { id, labels } of round) {
        if (known.delete(id)) peers.remove(id);
        else known.add(id) && peers.put({ id, labels });
      }
      renewSome(policy, own, new Set(round.map(({ id }) => id)));
      assert.deepEqual(policy.resolved, resolve(input));
    }
  });
  fc.assert(cases, { numRuns: 150 });
});
