// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { allowedPairs, root, testLab } from "#kit/test-lab.ts";

const inputs = join(root, "../shared/inputs/online-boutique");
const skip = existsSync(inputs) ? false : `real manifests are not here: ${inputs}`;
const lab = testLab("boutique");
after(async () => {
  await lab[Symbol.asyncDispose]();
});

interface Selection {
  readonly podSelector: { readonly matchLabels?: { readonly app?: string } };
}

interface Policy {
  readonly kind?: string;
  readonly metadata: { readonly name: string };
  readonly spec: Selection & {
    readonly policyTypes: readonly string[];
    readonly ingress?: readonly {
      readonly from?: readonly Selection[];
      readonly ports?: readonly { readonly port: number }[];
    }[];
    readonly egress?: readonly unknown[];
  };
}

interface Target {
  readonly service: string;
  readonly app: string;
  readonly port: number;
  readonly targetPort: number;
}

function documents<T>(file: string): T[] {
  return parseAllDocuments(readFileSync(join(inputs, file), "utf8")).map((one) => one.toJS() as T);
}

/** Reads the policies as their authors wrote them: plain label selectors, and an egress rule is always `{}`: everything. */
function meant(policies: readonly Policy[], apps: readonly string[], targets: readonly Target[]): string[] {
  const of = (app: string, type: string) =>
    policies.filter(({ spec }) => {
      const wanted = spec.podSelector.matchLabels?.app;
      return spec.policyTypes.includes(type) && (wanted === undefined || wanted === app);
    });
  const sends = (app: string) =>
    of(app, "Egress").length === 0 || of(app, "Egress").some(({ spec }) => (spec.egress ?? []).length > 0);
  const letsIn = (from: string, { app, targetPort }: Target) =>
    of(app, "Ingress").length === 0 ||
    of(app, "Ingress").some(({ spec }) =>
      (spec.ingress ?? []).some(
        (rule) =>
          (!rule.from || rule.from.some((peer) => peer.podSelector.matchLabels?.app === from)) &&
          (!rule.ports || rule.ports.some(({ port }) => port === targetPort)),
      ),
    );
  const reaches = (from: string, to: Target) => from === to.app || (sends(from) && letsIn(from, to));
  return targets
    .flatMap((to) =>
      apps
        .filter((from) => reaches(from, to))
        .map((from) => `default/${from} → default/${to.service}:${to.port}`),
    )
    .sort();
}

test("the boutique comes up unchanged, and who reaches whom is what its policies say", { skip }, async () => {
  const startMs = performance.now();
  await lab.run(["lab", "up", "--detach", "-f", inputs]);
  const tookSec = (performance.now() - startMs) / 1000;
  assert.ok(tookSec < 60, `up took ${tookSec.toFixed(1)} s`);
  const policies = documents<Policy | null>("policies.yaml").filter(
    (one) => one?.kind === "NetworkPolicy",
  ) as Policy[];
  const { pods } = await lab.status();
  const apps = pods.filter(({ namespace }) => namespace === "default").map(({ workload }) => workload);
  assert.equal(apps.length, 12);
  type Service = {
    kind?: string;
    metadata: { name: string };
    spec: { selector: { app: string }; ports: { port: number; targetPort?: number }[] };
  };
  const targets = documents<Service | null>("app.yaml")
    .filter((one) => one?.kind === "Service")
    .flatMap((one) =>
      one!.spec.ports.map(({ port, targetPort = port }) => ({
        service: one!.metadata.name,
        app: one!.spec.selector.app,
        port,
        targetPort,
      })),
    );
  assert.deepEqual(allowedPairs(await lab.probe()), meant(policies, apps, targets));

  const gone = policies.find(({ metadata }) => metadata.name === "redis-cart")!;
  await lab.run(["lab", "delete", "-f", "-"], JSON.stringify(gone));
  const rest = policies.filter((one) => one !== gone);
  assert.deepEqual(allowedPairs(await lab.probe()), meant(rest, apps, targets));
});
