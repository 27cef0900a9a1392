// SPDX-License-Identifier: Apache-2.0
/**
 * Random policies of every kind on a lab, measured by real connection attempts and held against what the references of the policy
 * languages say (`tests/policy/oracle/`): native routing, the nodes' firewall, a pod in audit, and agents in every mode.
 * POLICY_FUZZ_SEED begins elsewhere, POLICY_FUZZ_ROUNDS goes on for longer.
 */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { dice } from "#kit/dice.ts";
import { restartAgents } from "#kit/lab-agents.ts";
import { worldManifests } from "#kit/manifest-world.ts";
import { disagreements, nodeAttempts, randomAttempts, readPlacement, wantedText } from "#kit/policy-round.ts";
import fc from "#kit/property.ts";
import { testLab } from "#kit/test-lab.ts";
import { policies as arbitraryPolicies } from "../policy/generate-policies.ts";
import { type Cluster, type Settings, usualSettings } from "../policy/oracle/cluster.ts";

const firstSeed = Number(process.env.POLICY_FUZZ_SEED ?? 1);
const rounds = Number(process.env.POLICY_FUZZ_ROUNDS ?? 5);
/** Of a probe of everything, silence included; then the policies' arrival at the nodes is no excuse. */
const settleMs = 15_000;
const kinds = arbitraryPolicies(["NetworkPolicy", "Cilium", "ClusterNetworkPolicy", "Host"]);
/** What the agents of the nodes are set to, by turns; each stays until the next. */
const modes: Readonly<Record<number, readonly [PolicyMode, PolicyMode]>> = {
  3: [{ enforcement: "always" }, {}],
  4: [{ enforcement: "never" }, { audit: true }],
};

type PolicyMode = Partial<Pick<Settings, "enforcement" | "audit">>;

suite("random policies", () => {
  const lab = testLab("fuzz");
  let cluster: Cluster;

  before(async () => {
    const shape = ["--nodes", "2", "--families", "dual", "--routing", "native"];
    await lab.run(["lab", "up", "--detach", ...shape, "--set", "hostFirewall.enabled=true"]);
    await lab.run(["lab", "apply", "-f", "-"], text(worldManifests()));
    cluster = await readPlacement(lab);
  });
  after(() => lab[Symbol.asyncDispose]());

  async function setModes([first, second]: readonly [PolicyMode, PolicyMode]): Promise<void> {
    await restartAgents(lab.prefix, { n1: { policy: first }, n2: { policy: second } });
    const nodes = cluster.nodes.map((node) => ({
      ...node,
      settings: { ...usualSettings, ...(node.name === "n1" ? first : second) },
    }));
    cluster = { ...cluster, nodes };
  }

  for (let round = 0; round < rounds; round++) {
    const seed = firstSeed + round;
    test(`seed ${seed}: pods reach what the policies say, and nothing else`, async () => {
      const mode = modes[round];
      if (mode) await setModes(mode);
      const [policies = []] = fc.sample(kinds, { seed, numRuns: 1 });
      const d = dice(seed);
      const attempts = [...randomAttempts(d, cluster, 12), ...nodeAttempts(d, cluster, 12)];
      await lab.run(["lab", "apply", "-f", "-"], text(policies));
      try {
        let wrong = attempts;
        for (const endMs = Date.now() + settleMs; ; ) {
          wrong = await disagreements(lab, { cluster, policies }, wrong);
          if (wrong.length === 0 || Date.now() > endMs) break;
        }
        assert.deepEqual(
          wrong.map((attempt) => wantedText(cluster, policies, attempt)),
          [],
          `under these policies:\n${text(policies)}`,
        );
      } finally {
        await lab.run(["lab", "delete", "-f", "-"], text(policies));
      }
    });
  }
});

function text(objects: readonly object[]): string {
  return objects.map((object) => JSON.stringify(object)).join("\n---\n");
}
