// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { ciliumRemarks } from "./cilium-remarks.ts";
import { compileRow, policyLanguages } from "./languages.ts";

const key = "io.kubernetes.pod.namespace";

function remarks(spec: object, kind = "CiliumNetworkPolicy"): string[] {
  const metadata = { name: "p", ...(kind === "CiliumNetworkPolicy" && { namespace: "shop" }) };
  return ciliumRemarks({ apiVersion: "cilium.io/v2", kind, metadata, spec: { ingress: [{}], ...spec } });
}

const own = "a CiliumNetworkPolicy is about pods of its own namespace, shop, alone";

test("a policy that names another namespace than its own says what becomes of it", () => {
  const subject = (endpointSelector: object) => remarks({ endpointSelector });
  assert.deepEqual(subject({ matchLabels: { [`k8s:${key}`]: "shop", app: "web" } }), []);
  assert.deepEqual(subject({ matchLabels: { [`k8s:${key}`]: "lab" } }), [
    `spec.endpointSelector.matchLabels: names namespace lab; ${own}, and the label is taken out`,
  ]);
  assert.deepEqual(subject({ matchLabels: { [key]: "lab" } }), [
    `spec.endpointSelector.matchLabels: names namespace lab; ${own}, and with the label it selects nothing`,
  ]);
  const expression = (operator: string, ...values: string[]) =>
    subject({ matchExpressions: [{ key: `k8s:${key}`, operator, ...(values.length > 0 && { values }) }] });
  assert.deepEqual(expression("In", "shop", "lab"), []);
  assert.deepEqual(expression("NotIn", "lab"), []);
  assert.deepEqual(expression("In", "lab"), [
    `spec.endpointSelector.matchExpressions[0]: leaves out namespace shop; ${own}, and so it selects nothing`,
  ]);
  assert.equal(expression("DoesNotExist").length, 1);
  assert.deepEqual(
    remarks(
      { endpointSelector: { matchLabels: { [`k8s:${key}`]: "lab" } } },
      "CiliumClusterwideNetworkPolicy",
    ),
    [],
  );
});

test("a peer that is a group of prefixes by its label is told to be nobody", () => {
  const fromEndpoints = [{}, { matchLabels: { "cidrgroup:trust": "none" } }];
  assert.deepEqual(remarks({ endpointSelector: {}, ingress: [{ fromEndpoints }] }), [
    "spec.ingress[0].fromEndpoints[1]: cidrgroup:trust is a label of no pod and selects nobody; groups of prefixes are for CIDRSet, by cidrGroupRef or cidrGroupSelector",
  ]);
});

test("remarks are the row's warnings; of a refused object there are none", () => {
  const language = policyLanguages.find(({ kind }) => kind === "CiliumNetworkPolicy")!;
  const row = (spec: object) =>
    compileRow(language, { metadata: { name: "p", namespace: "shop" }, spec } as object);
  const endpointSelector = { matchLabels: { [`k8s:${key}`]: "lab" } };
  assert.equal(row({ endpointSelector, ingress: [{}] }).warnings?.length, 1);
  const refused = row({ endpointSelector, ingress: [{ fromGroups: [{}] }] });
  assert.ok(refused.refused && refused.warnings === undefined);
});
