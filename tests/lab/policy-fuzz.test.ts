// SPDX-License-Identifier: Apache-2.0
/**
 * Random policies of every kind on a real cluster, measured by real connection attempts and held against what the references
 * of the two policy languages say. POLICY_FUZZ_SEED begins elsewhere, POLICY_FUZZ_ROUNDS goes on for longer.
 */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { ciliumPolicy, type Dice, dice, type Manifest, networkPolicy } from "#kit/manifest-policies.ts";
import { worldManifests } from "#kit/manifest-world.ts";
import {
  attemptText,
  disagreements,
  type Placement,
  randomAttempts,
  readPlacement,
} from "#kit/policy-round.ts";
import { testLab } from "#kit/test-lab.ts";

const firstSeed = Number(process.env.POLICY_FUZZ_SEED ?? 1);
const rounds = Number(process.env.POLICY_FUZZ_ROUNDS ?? 5);
/** Of a probe of everything, silence included; then the policies' arrival at the nodes is no excuse. */
const settleMs = 5_000;

suite("random policies", () => {
  const lab = testLab("fuzz");
  let placement: Placement;

  before(async () => {
    await lab.run(["lab", "up", "--detach", "--nodes", "2", "--families", "dual"]);
    await lab.run(["lab", "apply", "-f", "-"], text(worldManifests()));
    placement = await readPlacement(lab);
  });
  after(() => lab[Symbol.asyncDispose]());

  for (let round = 0; round < rounds; round++) {
    const seed = firstSeed + round;
    test(`seed ${seed}: pods reach what the policies say, and nothing else`, async () => {
      const d = dice(seed);
      const policies = randomPolicies(d);
      const attempts = randomAttempts(d, placement, 12);
      await lab.run(["lab", "apply", "-f", "-"], text(policies));
      let wrong = attempts;
      for (const endMs = Date.now() + settleMs; ; ) {
        wrong = await disagreements(lab, policies, wrong);
        if (wrong.length === 0 || Date.now() > endMs) break;
      }
      assert.deepEqual(
        wrong.map((attempt) => attemptText(attempt, policies)),
        [],
        `under these policies:\n${text(policies)}`,
      );
      await lab.run(["lab", "delete", "-f", "-"], text(policies));
    });
  }
});

function randomPolicies(d: Dice): Manifest[] {
  return Array.from({ length: 2 + d.below(5) }, (_, i) =>
    d.oneIn(2) ? networkPolicy(d, `p${i}`) : ciliumPolicy(d, `p${i}`),
  );
}

function text(objects: readonly object[]): string {
  return objects.map((object) => JSON.stringify(object)).join("\n---\n");
}
