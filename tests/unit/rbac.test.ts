// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import { loadChart, type Manifest, renderChart } from "#install/chart.ts";
import { parseSet } from "#install/values-merge.ts";
import { chartDir } from "#kit/chart-cases.ts";
import { kubeAsks, type Permission, staleHandedIn } from "#kit/kube-asks.ts";

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface Role extends Manifest {
  readonly rules: readonly Rule[];
}

const values = parseSet("relay.enabled=true,config.l2Announcements.enabled=true");
const roles = (renderChart(loadChart(chartDir), { namespace: "kube-system", values }) as Role[]).filter(
  ({ kind }) => kind === "ClusterRole" || kind === "Role",
);
const programs = { agent: "weft", operator: "weft-operator", relay: "weft-relay" } as const;
/** Who may list objects sees all that `get` shows: for reading the three go together. */
const reads = ["get", "list", "watch"];

function rulesOf(role: string): Rule[] {
  const rules = roles.filter(({ metadata }) => metadata.name === role).flatMap((one) => one.rules);
  assert.ok(rules.length > 0, `the chart has a role ${role}`);
  return rules;
}

function permissionsOf({ apiGroups, resources, verbs }: Rule): Permission[] {
  return apiGroups.flatMap((group) =>
    resources.flatMap((resource) => verbs.map((verb) => `${group}/${resource} ${verb}`)),
  );
}

test("what every call of a client asks for is known", () => {
  for (const program of Object.keys(programs))
    assert.deepEqual(kubeAsks(`src/main/${program}.ts`).unclear, [], program);
  assert.deepEqual(staleHandedIn(), []);
});

for (const [program, role] of Object.entries(programs))
  test(`the ${program} may do what it asks for, and nothing else`, () => {
    const asked = kubeAsks(`src/main/${program}.ts`).permissions;
    const allowed = new Set(rulesOf(role).flatMap(permissionsOf));
    const missing = [...asked].filter(([permission]) => !allowed.has(permission));
    assert.deepEqual(missing, [], "missing");
    const needed = ([what = "", verb = ""]: string[]) =>
      reads.includes(verb)
        ? reads.some((read) => asked.has(`${what} ${read}`))
        : asked.has(`${what} ${verb}`);
    const idle = [...allowed].filter((permission) => !needed(permission.split(" ")));
    assert.deepEqual(idle, [], "allowed, but not asked for");
  });

test("rules for named objects name those that are there", () => {
  const named = rulesOf("weft-operator").filter(({ resourceNames }) => resourceNames !== undefined);
  const names = (resource: string) =>
    named.filter(({ resources }) => resources.includes(resource)).flatMap((rule) => rule.resourceNames ?? []);
  assert.deepEqual(
    names("customresourcedefinitions").sort(),
    customResourceDefinitions.map(({ metadata }) => metadata.name).sort(),
  );
  assert.deepEqual(names("leases"), ["weft-operator-leader"]);
  assert.deepEqual(named.length, 2);
});
