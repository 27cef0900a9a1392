// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeObject, Pod, PodSpec } from "../objects.ts";
import { chooseNode } from "./scheduler.ts";

function node(name: string, spec: NodeObject["spec"] = {}, labels: Record<string, string> = {}): NodeObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
    spec,
    status: { conditions: [{ type: "Ready", status: "True" }] },
  };
}

function pod(name: string, spec: Partial<PodSpec> = {}, owner?: string): Pod {
  const ownerReferences = owner
    ? [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: owner, uid: owner, controller: true }]
    : [];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "t", ownerReferences },
    spec: { containers: [{ name: "c" }], ...spec },
  };
}

test("pods of one owner are kept apart before the number of pods counts", () => {
  const others = [
    pod("a", { nodeName: "n1" }, "web"),
    pod("b", { nodeName: "n2" }),
    pod("c", { nodeName: "n2" }),
  ];
  assert.equal(chooseNode(pod("x", {}, "web"), [node("n1"), node("n2")], others)?.metadata.name, "n2");
  assert.equal(chooseNode(pod("x"), [node("n1"), node("n2")], others)?.metadata.name, "n1");
});

test("selectors, taints, host ports and readiness rule nodes out", () => {
  const tainted = { taints: [{ key: "gpu", value: "yes", effect: "NoSchedule" }] };
  const nodes = [node("n1", tainted), node("n2", {}, { disk: "ssd" })];
  assert.equal(chooseNode(pod("x", { nodeSelector: { disk: "ssd" } }), nodes, [])?.metadata.name, "n2");
  assert.equal(chooseNode(pod("x", { nodeSelector: { disk: "hdd" } }), nodes, []), undefined);
  const tolerations = [{ key: "gpu", operator: "Exists" }];
  assert.equal(chooseNode(pod("x", { tolerations }), nodes, [])?.metadata.name, "n1");
  const hostPort = { containers: [{ name: "c", ports: [{ containerPort: 80, hostPort: 80 }] }] };
  assert.equal(chooseNode(pod("x", hostPort), nodes, [pod("y", { ...hostPort, nodeName: "n2" })]), undefined);
  const down = {
    ...node("n3"),
    status: { conditions: [{ type: "Ready" as const, status: "False" as const }] },
  };
  assert.equal(chooseNode(pod("x"), [down], []), undefined);
});

test("required affinity matches labels and the node's name", () => {
  const term = (matchFields: { key: string; operator: string; values: string[] }[]) => ({
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields }] },
      },
    },
  });
  const wanted = term([{ key: "metadata.name", operator: "In", values: ["n2"] }]);
  assert.equal(chooseNode(pod("x", wanted), [node("n1"), node("n2")], [])?.metadata.name, "n2");
});
