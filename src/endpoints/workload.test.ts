// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { type PodObject, workloadOf } from "./source.ts";

type Owner = NonNullable<PodObject["metadata"]["ownerReferences"]>[number];

function workload(owners: Owner[], labels: Record<string, string> = {}) {
  return workloadOf({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "n", uid: "u", labels, ownerReferences: owners },
  });
}

test("a pod's workload is its controller, or the Deployment behind its ReplicaSet", () => {
  const set = { kind: "ReplicaSet", name: "front-5d4f7", controller: true };
  assert.deepEqual(workload([set], { "pod-template-hash": "5d4f7" }), { kind: "Deployment", name: "front" });
  assert.deepEqual(workload([set]), { kind: "ReplicaSet", name: "front-5d4f7" });
  assert.deepEqual(workload([{ kind: "StatefulSet", name: "db", controller: true }]), {
    kind: "StatefulSet",
    name: "db",
  });
  assert.equal(workload([{ kind: "Node", name: "n1" }]), undefined);
  assert.equal(workload([]), undefined);
});
