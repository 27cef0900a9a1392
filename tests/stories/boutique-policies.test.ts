// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { judge } from "#kit/policy-oracle.ts";
import { compileAll, type StoryIdentity } from "#kit/policy-story.ts";
import { parseLabels } from "#model/labels.ts";
import { IdentityIndex } from "#policy/peer-index.ts";
import { resolve } from "#policy/resolve.ts";
import type { Rule } from "#policy/rule.ts";
import { RuleIds } from "#policy/rule-ids.ts";
import { matches } from "#policy/selector.ts";
import { verdict } from "#policy/verdict.ts";

const inputs = join(import.meta.dirname, "../../../shared/inputs/online-boutique");
const skip = existsSync(inputs) ? false : `real manifests are not here: ${inputs}`;

interface Workload extends StoryIdentity {
  readonly listens: readonly number[];
}

interface Manifest {
  readonly kind?: string;
  readonly metadata?: { readonly name?: string };
  readonly spec?: {
    readonly template?: {
      readonly metadata?: { readonly labels?: Record<string, string> };
      readonly spec?: {
        readonly containers?: readonly { readonly ports?: readonly { readonly containerPort: number }[] }[];
      };
    };
  };
}

function workloads(): Workload[] {
  const documents = parseAllDocuments(readFileSync(join(inputs, "app.yaml"), "utf8")).map(
    (one) => one.toJS() as Manifest | null,
  );
  return documents
    .filter((one) => one?.kind === "Deployment")
    .map((deployment, index) => {
      const template = deployment!.spec!.template!;
      const labels = Object.entries(template.metadata!.labels!).map(([key, value]) => `k8s:${key}=${value}`);
      const listens = template.spec!.containers!.flatMap(({ ports }) =>
        (ports ?? []).map((port) => port.containerPort),
      );
      const name = deployment!.metadata!.name!;
      return {
        id: 1000 + index,
        name,
        labels: parseLabels([...labels, "k8s:io.kubernetes.pod.namespace=default"]),
        ports: [],
        listens,
      };
    });
}

function resolveFor(rules: readonly Rule[], peers: IdentityIndex, workload: Workload) {
  const ids = new RuleIds();
  const selected = rules.filter((rule) => matches(rule.subject, workload.labels));
  return resolve({
    id: 1,
    rules: selected,
    peers,
    ports: [],
    ruleId: (origins) => ids.idOf(origins),
    enforcement: "default",
  });
}

test("the boutique's policies: who reaches whom is what the rules say, and what its authors meant", {
  skip,
}, () => {
  const { rules, refused } = compileAll(readFileSync(join(inputs, "policies.yaml"), "utf8"));
  assert.deepEqual(refused, []);
  const all = workloads();
  assert.equal(all.length, 12);
  const peers = new IdentityIndex();
  for (const workload of all) peers.put(workload);
  const reached: string[] = [];
  for (const to of all) {
    const ingress = resolveFor(rules, peers, to);
    for (const from of all) {
      const egress = resolveFor(rules, peers, from);
      for (const port of new Set([...to.listens, 22])) {
        const asked = [
          verdict(egress, { direction: "egress", identity: to.id, proto: 6, port }),
          verdict(ingress, { direction: "ingress", identity: from.id, proto: 6, port }),
        ].map((answer) => answer.verdict);
        const wanted = [
          judge(rules, { direction: "egress", subject: from, peer: to, proto: 6, port }),
          judge(rules, { direction: "ingress", subject: to, peer: from, proto: 6, port }),
        ].map((answer) => answer.verdict);
        assert.deepEqual(asked, wanted, `${from.name} -> ${to.name}:${port}`);
        if (asked.every((one) => one === "allow")) reached.push(`${from.name} -> ${to.name}:${port}`);
      }
    }
  }
  assert.ok(reached.includes("frontend -> cartservice:7070"));
  assert.ok(reached.includes("checkoutservice -> paymentservice:50051"));
  assert.ok(reached.includes("cartservice -> redis-cart:6379"));
  assert.ok(!reached.includes("frontend -> redis-cart:6379"));
  assert.ok(!reached.includes("adservice -> cartservice:7070"));
});
