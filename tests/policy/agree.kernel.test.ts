// SPDX-License-Identifier: Apache-2.0
/**
 * Three that must agree on every packet: what the references of the policy languages say (`oracle/`), what the compiled entries say
 * (`src/policy/verdict.ts`), and what the datapath's own judge() says with those entries in its maps. POLICY_CASES and WEFT_SEED
 * for more than the usual: `npm run test:policy -- --cases 100000 --seed 7`.
 */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import fc from "#kit/property.ts";
import { type Counts, disagreement } from "./agreement.ts";
import { attemptIn, attemptShapes, clusters, nodeAttemptShapes } from "./generate-cluster.ts";
import { policies, type policyKinds } from "./generate-policies.ts";
import { KernelJudge } from "./kernel.ts";

const cases = Number(process.env.POLICY_CASES ?? 16_000);
const attemptsEach = 40;

const mixes: readonly (readonly (keyof typeof policyKinds)[])[] = [
  ["NetworkPolicy"],
  ["Cilium"],
  ["ClusterNetworkPolicy"],
  ["NetworkPolicy", "Cilium", "ClusterNetworkPolicy"],
  ["Host", "Host", "Cilium", "ClusterNetworkPolicy"],
];

suite("oracle, entries and program agree", () => {
  const kernel = new KernelJudge();
  after(() => kernel[Symbol.dispose]());

  for (const kinds of mixes) {
    test(kinds.join(" and "), { timeout: 3_600_000 }, (t) => {
      const counts: Counts = { asked: 0, denied: 0 };
      const wanted = Math.ceil(cases / mixes.length);
      const shape = kinds.includes("Host") ? nodeAttemptShapes : attemptShapes;
      const shapes = fc.array(shape, { minLength: attemptsEach, maxLength: attemptsEach });
      const world = fc.noShrink(
        fc.tuple(clusters, policies(kinds), shapes, fc.constantFrom("once", "steps")),
      );
      const property = fc.property(world, ([cluster, manifests, list, by]) => {
        const attempts = list.flatMap((shape) => attemptIn(cluster, shape) ?? []);
        assert.equal(disagreement(cluster, manifests, attempts, { kernel, counts, by }), undefined);
      });
      // Some attempts cannot be made in some clusters: a fifth more on the whole, and a few for when there are few.
      const numRuns = Math.ceil((wanted * 1.2) / attemptsEach) + 5;
      fc.assert(property, { numRuns });
      t.diagnostic(`${counts.asked} questions, ${counts.denied} denied`);
      assert.ok(counts.asked >= wanted, `${counts.asked} questions`);
      assert.ok(
        counts.denied > counts.asked / 20 && counts.denied < (counts.asked * 9) / 10,
        "both answers occur",
      );
    });
  }
});
