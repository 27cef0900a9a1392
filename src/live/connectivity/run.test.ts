// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { junit } from "./junit.ts";
import { chooseScenarios } from "./run.ts";
import { scenarios } from "./scenarios.ts";

test("scenarios are chosen by parts of their names, and an unknown one is named", () => {
  assert.equal(chooseScenarios([]).length, scenarios.length);
  assert.deepEqual(
    chooseScenarios(["dns", "policy-c"]).map(({ name }) => name),
    ["dns", "policy-cidr", "policy-cilium"],
  );
  assert.throws(() => chooseScenarios(["dns", "nope"]), { code: "E_USAGE", message: /"nope"/ });
  assert.equal(new Set(scenarios.map(({ name }) => name)).size, scenarios.length);
});

test("results as JUnit, with characters XML knows", () => {
  const shows = "x";
  const xml = junit([
    { name: "a", shows, outcome: "passed", ms: 1500 },
    { name: "b", shows, outcome: "skipped", ms: 0, text: "needs two nodes" },
    { name: "c", shows, outcome: "failed", ms: 20, text: 'a → b: "silence" <\u0000&', flows: ["f1", "f2"] },
  ]);
  assert.equal(
    xml,
    `<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="weft connectivity test" tests="3" failures="1" skipped="1" time="1.520">
  <testcase classname="weft.connectivity" name="a" time="1.500"/>
  <testcase classname="weft.connectivity" name="b" time="0.000">
    <skipped message="needs two nodes"/>
  </testcase>
  <testcase classname="weft.connectivity" name="c" time="0.020">
    <failure message="a → b: &quot;silence&quot; &lt;&amp;">a → b: &quot;silence&quot; &lt;&amp;
flows:
f1
f2</failure>
  </testcase>
</testsuite>
`,
  );
});
