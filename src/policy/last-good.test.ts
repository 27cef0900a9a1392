// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#k8s/resource.ts";
import { compileRow, policyLanguages } from "./languages.ts";
import { keepLastGood } from "./last-good.ts";
import type { PolicyRow } from "./table.ts";

const language = policyLanguages.find(({ kind }) => kind === "CiliumNetworkPolicy")!;

function rowOf(generation: number, toPorts: object, uid = "u1"): PolicyRow {
  const metadata = { namespace: "shop", name: "web", uid, generation };
  const spec = { endpointSelector: {}, ingress: [{ fromEndpoints: [{}], toPorts: [toPorts] }] };
  return compileRow(language, { metadata, spec } as KubeObject);
}

const plain = { ports: [{ port: "80", protocol: "TCP" }] };
const needy = { ...plain, rules: { http: [{ method: "GET" }] } };

test("an edit that is refused leaves in force what was, however often it is edited, until one is good", () => {
  const good = rowOf(1, plain);
  assert.equal(good.refused, undefined);
  const first = keepLastGood(rowOf(2, needy), good);
  assert.ok(first.refused);
  assert.deepEqual([first.rules, first.inForce], [good.rules, 1]);
  const second = keepLastGood(rowOf(3, needy), first);
  assert.deepEqual([second.rules, second.inForce, second.generation], [good.rules, 1, 3]);
  const mended = keepLastGood(rowOf(4, plain), second);
  assert.deepEqual([mended.refused, mended.inForce], [undefined, undefined]);
});

test("nothing is kept of another object of the name, nor of what was never in force", () => {
  const refused = rowOf(2, needy);
  assert.deepEqual(keepLastGood(refused, undefined), refused);
  assert.deepEqual(keepLastGood(refused, rowOf(1, needy)), refused);
  assert.deepEqual(keepLastGood(refused, rowOf(1, plain, "u0")), refused);
});
