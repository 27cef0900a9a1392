// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseAgentConfig } from "#agent/config.ts";
import type { Manifest } from "#install/chart.ts";
import { completeValues, loadChart, loadProfile, renderChart, renderNotes } from "#install/chart.ts";
import { mergeValues, parseSet, type Tree } from "#install/values-merge.ts";
import { chartCases, chartDir, goldenFile, objectsByKey, parseObjects } from "#kit/chart-cases.ts";
import { installRoot } from "#lib/assets.ts";
import { parseOperatorConfig } from "#operator/config.ts";

interface ConfigMap extends Manifest {
  readonly data?: Readonly<Record<string, string>>;
}

const chart = loadChart(chartDir);

for (const { name, profile, set } of chartCases)
  test(`what helm renders and what we render are the same objects: ${name}`, () => {
    const values = [profile ? loadProfile(chart, profile) : {}, ...set.map(parseSet)].reduce<Tree>(
      mergeValues,
      {},
    );
    const ours = objectsByKey(renderChart(chart, { namespace: "kube-system", values, manager: "Helm" }));
    const helms = objectsByKey(parseObjects(readFileSync(goldenFile(name), "utf8")));
    assert.deepEqual([...ours.keys()].sort(), [...helms.keys()].sort());
    for (const [key, object] of helms) assert.deepEqual(ours.get(key), object, key);
  });

for (const { name, profile, set } of chartCases)
  test(`agent and operator read what the chart writes for them: ${name}`, () => {
    const values = [profile ? loadProfile(chart, profile) : {}, ...set.map(parseSet)].reduce<Tree>(
      mergeValues,
      {},
    );
    const objects = renderChart(chart, { namespace: "kube-system", values }) as readonly ConfigMap[];
    const data = objects.find(({ metadata }) => metadata.name === "weft-config")?.data;
    const agent = parseAgentConfig(`nodeName: n1\n${data?.["agent.yaml"]}`, "agent.yaml");
    assert.deepEqual(agent.nativeRoutingCidrs.length, name === "native-routing" ? 2 : 0);
    const operator = parseOperatorConfig(String(data?.["operator.yaml"]), "operator.yaml");
    assert.deepEqual([operator.clusterName, operator.ipam], [agent.clusterName, agent.ipam]);
  });

test("the chart is of this version", () => {
  const { version } = JSON.parse(readFileSync(`${installRoot()}/package.json`, "utf8")) as {
    version: string;
  };
  assert.deepEqual([chart.version, chart.appVersion], [version, version]);
});

test("a value that is wrong is named by its path", () => {
  const values = parseSet("config.routing=bridge,agent.maxUnavailable=0,operator.replica=2");
  assert.throws(() => completeValues(chart, values), {
    code: "E_VALUES",
    message: /config\.routing: .*; agent\.maxUnavailable: .*; operator\.replica: there is no such value/,
  });
});

test("values that do not go together are refused, for Helm by the schema", () => {
  const ipip = "config.services.dsrDispatch=ipip";
  assert.throws(() => completeValues(chart, parseSet(ipip)), {
    code: "E_VALUES",
    message: /config\.services\.dsrDispatch: "ipip" needs config\.routing "native"/,
  });
  completeValues(chart, parseSet(`${ipip},config.routing=native`));
});

test("an unknown profile is refused with those there are", () => {
  assert.throws(() => loadProfile(chart, "fast"), {
    code: "E_USAGE",
    hint: "there are: default, dual-stack, native-routing",
  });
});

test("the notes name the next command", () => {
  assert.match(renderNotes(chart, { namespace: "kube-system", values: {} }), /weft status --wait/);
});
