// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { completeValues, loadChart, loadProfile, renderChart, renderNotes } from "#install/chart.ts";
import { mergeValues, parseSet, type Tree } from "#install/values-merge.ts";
import { chartCases, chartDir, goldenFile, objectsByKey, parseObjects } from "#kit/chart-cases.ts";
import { installRoot } from "#lib/assets.ts";

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

test("an unknown profile is refused with those there are", () => {
  assert.throws(() => loadProfile(chart, "fast"), {
    code: "E_USAGE",
    hint: "there are: default, dual-stack, native-routing",
  });
});

test("the notes name the next command", () => {
  assert.match(renderNotes(chart, { namespace: "kube-system", values: {} }), /weft status --wait/);
});
