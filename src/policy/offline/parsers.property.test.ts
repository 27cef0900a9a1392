// SPDX-License-Identifier: Apache-2.0
/** What people write for the tools that work on files: read, or refused with the place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { stringify } from "yaml";
import { parseManifest } from "#k8s/manifest.ts";
import { junk, mangled } from "#kit/junk.ts";
import fc from "#kit/property.ts";
import { WeftError } from "#lib/errors.ts";
import { parseQuestions } from "#model/questions.ts";
import { loadCluster } from "./cluster.ts";
import { createJudge } from "./judge.ts";
import { parseTestFile } from "./test-file.ts";

/** Calls the reader: it returns, or throws an error of this code that begins with the place. */
function readsOrSaysWhy(code: string, place: RegExp, read: () => unknown): void {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof WeftError, String(error instanceof Error ? error.stack : error));
    assert.equal(error.code, code);
    assert.match(error.message, place);
  }
}

const tests = [
  'tests:\n- from shop/a to shop/b on 80/TCP: allow\n- {from: [shop/a, world], to: shop/b, port: [80, 53/UDP], expect: deny, name: "x"}\n',
  "manifests: [a.yaml]\nnamespace: shop\ntests:\n- &a from a to b on ICMP: deny\n- *a\n",
];
const words = "from to port expect name tests manifests namespace protocol on".split(" ");
const said = junk(words, ["shop/a", "10.0.0.1", "80/TCP", "allow", "deny", "from a to b on 80", "ICMP/300"]);

test("test files", () => {
  const read = (text: string) =>
    readsOrSaysWhy("E_TEST", /^t\.yaml:\d+: \S/, () => parseTestFile(text, "t.yaml"));
  fc.assert(fc.property(mangled(tests), read), { numRuns: 400 });
  const files = fc.oneof(said, fc.record({ tests: fc.array(said, { maxLength: 2 }) }));
  fc.assert(
    fc.property(files, (file) => read(stringify(file) ?? "")),
    { numRuns: 400 },
  );
  for (const text of ["tests: *nobody\n", "", "- a\n"]) read(text);
});

test("lists of questions", () => {
  const read = (text: string) =>
    readsOrSaysWhy("E_QUESTION", /^q\.json/, () => parseQuestions(text, "q.json"));
  const lists = [
    '[{"from":"a/b","to":"10.0.0.1","port":80}]',
    '{"from":"a/b","to":"c/d","protocol":"ICMP"}\n',
  ];
  fc.assert(fc.property(mangled(lists), read), { numRuns: 400 });
  fc.assert(
    fc.property(fc.oneof(fc.array(said, { maxLength: 2 }), said), (list) => read(JSON.stringify(list) ?? "")),
    { numRuns: 400 },
  );
});

const kinds = [
  ...["v1 Namespace", "v1 Pod", "v1 Node", "v1 Service", "apps/v1 Deployment", "batch/v1 CronJob"],
  ...["discovery.k8s.io/v1 EndpointSlice", "cilium.io/v2 CiliumCIDRGroup", "cilium.io/v2 CiliumIdentity"],
  ...["networking.k8s.io/v1 NetworkPolicy", "cilium.io/v2 CiliumNetworkPolicy"],
].map((text) => text.split(" ") as [string, string]);
const fields =
  "labels annotations spec status containers ports containerPort name protocol podIPs ip selector template metadata addresses endpoints targetRef conditions replicas serviceAccountName nodeName hostNetwork";
const field = junk(fields.split(" "), ["10.0.0.1", "TCP", "web", "10.0.0.0/8", "true"]);

test("manifests of every kind, whatever their fields hold", () => {
  const object = fc
    .tuple(fc.constantFrom(...kinds), field, field, field, field)
    .map(([[apiVersion, kind], labels, spec, status, rest]) => ({
      ...{ apiVersion, kind, metadata: { name: "a", namespace: "b", labels, annotations: rest } },
      ...{ spec, status, endpoints: rest, ports: rest },
    }));
  const property = fc.property(fc.array(object, { maxLength: 3 }), (objects) => {
    const text = objects.map((one) => stringify(one)).join("---\n");
    readsOrSaysWhy("E_MANIFEST", /^(m\.yaml, document \d+|\w+ b\/a): \S/, () => {
      const documents = parseManifest("m.yaml", text);
      createJudge(loadCluster(documents));
    });
  });
  fc.assert(property, { numRuns: 400 });
});
