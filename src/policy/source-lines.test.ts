// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseManifest } from "#k8s/manifest.ts";
import { compileRow, languageOf } from "./languages.ts";
import { RuleIds } from "./rule-ids.ts";
import { sourceAnnotation, sourceLinesText, withSourceLines } from "./source-lines.ts";

const text = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
spec:
  podSelector: { matchLabels: { b: "2", a: "1" } }
  ingress:
    - from: [{ podSelector: {} }]
    - ports: [{ port: 80 }]
`;

const document = parseManifest("my shop.yaml", text)[0]!;
const language = languageOf(document.object)!;

test("what was written where survives the API server, which orders and fills in", () => {
  const annotation = sourceLinesText(compileRow(language, document.object).rules, document)!;
  assert.match(annotation, /^my%20shop\.yaml:1 spec\.ingress\[0\]=8#\w+ spec\.ingress\[1\]=9#\w+$/);
  const stored = {
    ...document.object,
    metadata: { name: "web", namespace: "default", annotations: { [sourceAnnotation]: annotation } },
    spec: {
      policyTypes: ["Ingress"],
      podSelector: { matchLabels: { a: "1", b: "2" } },
      ingress: [{ from: [{ podSelector: {} }] }, { ports: [{ protocol: "TCP", port: 80 }] }],
    },
  };
  const sources = compileRow(language, stored).rules.map(({ origin }) => [
    origin.source,
    origin.objectSource,
  ]);
  assert.deepEqual(sources, [
    ["my shop.yaml:8", "my shop.yaml:1"],
    ["my shop.yaml:9", "my shop.yaml:1"],
  ]);
  const edited = {
    ...stored,
    spec: { ...stored.spec, ingress: [stored.spec.ingress[0], { ports: [{ port: 81 }] }] },
  };
  assert.deepEqual(
    compileRow(language, edited).rules.map(({ origin }) => origin.source),
    ["my shop.yaml:8", undefined],
  );
});

test("a broken annotation says nothing", () => {
  const { rules } = compileRow(language, document.object);
  for (const annotation of ["", "x", "=#", "%E0%A4%A:x", ":"])
    assert.equal(withSourceLines(rules, annotation), rules);
});

test("the number of a rule stays when it moves in its file, and its line follows", () => {
  const ids = new RuleIds();
  const origin = { kind: "K", namespace: "", name: "n", uid: "", index: 0, field: "spec" };
  const id = ids.idOf([{ ...origin, source: "a.yaml:1" }]);
  ids.takeChanged();
  assert.equal(ids.idOf([{ ...origin, source: "a.yaml:2" }]), id);
  assert.deepEqual([ids.takeChanged(), ids.origins(id)?.[0]?.source], [[id], "a.yaml:2"]);
});
