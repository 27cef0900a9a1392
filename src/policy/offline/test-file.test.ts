// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseManifest } from "#k8s/manifest.ts";
import { loadCluster } from "./cluster.ts";
import { askCases, unexpected } from "./run-tests.ts";
import { parseTestFile } from "./test-file.ts";

test("cases are sentences or objects; lists mean each of them", () => {
  const { cases, namespace, manifests } = parseTestFile(
    `manifests: ../shop
namespace: shop
tests:
  - from front to cart on 80/TCP: allow
  - from front to cart on port 80: allow
  - { name: none, from: [a, b], to: c, port: [1, ICMP], expect: deny }
`,
    "t.yaml",
  );
  assert.deepEqual([namespace, manifests, cases.length], ["shop", ["../shop"], 6]);
  assert.deepEqual(
    cases.map(({ line }) => line),
    [4, 5, 6, 6, 6, 6],
  );
  assert.equal(cases[1]!.name, "from front to cart on 80/TCP: allow");
  assert.equal(cases[3]!.name, "none: from a to c on ICMP: deny");
});

test("what is wrong with a file is said with its line", () => {
  const bad: readonly [string, RegExp][] = [
    ["tests: []", /tests: must be a list/],
    ["tests:\n  - from a to b: allow", /t.yaml:2: must be/],
    ["tests:\n  - from a to b on 80: maybe", /expect: must be allow or deny/],
    ["tests:\n  - { from: a, to: b, expect: deny }", /port: is required/],
    ["tests:\n  - { from: a, to: b, port: x, expect: deny }", /t.yaml:2: port: "x" is no port/],
    ["tests:\n  - { from: a, to: b, port: 1, expect: deny, when: now }", /when: unknown field/],
    ["test: 1", /test: unknown field/],
    ["a: [", /t.yaml:/],
    ["1", /not an object/],
  ];
  for (const [text, message] of bad)
    assert.throws(() => parseTestFile(text, "t.yaml"), { code: "E_TEST", message }, text);
});

test("a case holds for all it names, fails where backends differ, and says when it can't be asked", () => {
  const pod = (name: string, app: string) =>
    `---\napiVersion: v1\nkind: Pod\nmetadata: { name: ${name}, labels: { app: ${app}, tier: all } }\nspec: {}\n`;
  const cluster = loadCluster(
    parseManifest(
      "a.yaml",
      `${pod("a", "a")}${pod("b", "b")}${pod("c", "c")}---
apiVersion: v1
kind: Service
metadata: { name: all }
spec: { selector: { tier: all }, ports: [{ port: 80 }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: b }
spec: { podSelector: { matchLabels: { app: b } } }
`,
    ),
  );
  const file = parseTestFile(
    `tests:
  - from a to c on 80: allow
  - from a to tier=all on 80: allow
  - from a to all on 80: allow
  - from a to all on 80: deny
  - from a to nobody on 80: deny
  - from service:all to a on 80: deny
`,
    "t.yaml",
  );
  const asked = askCases(cluster, file);
  assert.deepEqual(
    asked.map((one) => one.error?.split(":")[0] ?? unexpected(one).length),
    [0, 1, 1, 1, "there is no pod, workload or service default/nobody", "service"],
  );
});
