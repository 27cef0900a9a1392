// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { dice } from "#kit/dice.ts";
import fc from "#kit/property.ts";
import { startTestApi } from "#kit/test-api.ts";
import { WeftError } from "#lib/errors.ts";
import { PolicyEngine } from "#policy/engine.ts";
import { compileRow, languageOf } from "#policy/languages.ts";
import { policyKey } from "#policy/policy-key.ts";
import { breakPolicy } from "./broken.ts";
import { policies, type policyKinds } from "./generate-policies.ts";
import type { Manifest } from "./oracle/cluster.ts";

const each = 350;
const kinds = ["NetworkPolicy", "Cilium", "ClusterNetworkPolicy", "Host"] as const;

function brokenOf(kind: keyof typeof policyKinds, count: number) {
  const d = dice(kind.length);
  const good = fc.sample(policies([kind]), { seed: 5, numRuns: count }).flat();
  return good
    .filter((manifest) => manifest.spec !== undefined || manifest.specs !== undefined)
    .slice(0, count)
    .map((manifest) => breakPolicy(manifest, d));
}

function rowOf(manifest: Manifest) {
  return compileRow(languageOf(manifest)!, manifest as object as KubeObject);
}

/** `spec.ingress[0]`, or a part of it that the message gets to. */
const fieldPath = /: (spec|specs\[\d+\])(\.\w+|\[\d+\]|\["[^"]*"\])*: |: spec|: specs/;

for (const kind of kinds) {
  test(`${each} broken policies of ${kind} are refused with a field, and change nothing that is enforced`, () => {
    const engine = new PolicyEngine("default");
    const labels = new Map([
      ["k8s:app", "a"],
      ["k8s:io.kubernetes.pod.namespace", "x"],
    ]);
    engine.setIdentity({ id: 256, labels });
    engine.setEndpoint({ id: 1, labels, namedPorts: [] });
    for (const manifest of fc.sample(policies([kind]), { seed: 3, numRuns: 1 }).flat())
      engine.setPolicy(`good ${manifest.metadata.name}`, rowOf(manifest).rules);
    engine.flush();
    const broken = brokenOf(kind, each);
    assert.equal(broken.length, each);
    for (const { how, path, manifest } of broken) {
      const what = `${how} at ${path.join(".")}: ${JSON.stringify(manifest).slice(0, 1500)}`;
      const row = rowOf(manifest);
      assert.ok(row.refused, `not refused: ${what}`);
      assert.notEqual(row.refused.code, "E_INTERNAL", `${row.refused.message}: ${what}`);
      assert.match(row.refused.message, fieldPath, what);
      assert.ok(row.refused.message.length < 600, `a message of ${row.refused.message.length} characters`);
      assert.deepEqual(row.rules, []);
      engine.setPolicy(policyKey(row), row.rules);
    }
    const { policies: changed, gonePolicies, endpoints } = engine.flush();
    assert.deepEqual({ changed, gonePolicies, endpoints }, { changed: [], gonePolicies: [], endpoints: [] });
  });
}

test("the API server takes no broken policy, or its status says what is wrong", async () => {
  await using api = await startTestApi();
  for (const name of ["x", "y", "z"]) {
    const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
    await api.client.create(resources.namespaces, namespace, { signal: AbortSignal.timeout(20_000) });
  }
  for (const kind of kinds) {
    for (const { how, path, manifest } of brokenOf(kind, 60)) {
      const language = languageOf(manifest)!;
      const what = `${how} at ${path.join(".")}: ${JSON.stringify(manifest).slice(0, 1500)}`;
      try {
        await api.client.create(language.resource, manifest as object as KubeObject, {
          signal: AbortSignal.timeout(20_000),
        });
      } catch (error) {
        assert.ok(error instanceof WeftError, `${String(error)}: ${what}`);
        assert.match(error.message, /spec/, what);
        continue;
      }
      assert.ok(rowOf(manifest).refused, `taken: ${what}`);
      const { name, namespace } = manifest.metadata;
      await api.client.delete(
        language.resource,
        { name, ...(namespace && { namespace }) },
        { signal: AbortSignal.timeout(20_000) },
      );
    }
  }
});
