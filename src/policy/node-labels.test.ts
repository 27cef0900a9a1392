// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { Database } from "#store/table.ts";
import { compileCiliumPolicy } from "./from-cilium.ts";
import { followNodeLabels } from "./node-labels.ts";
import { type PolicyRow, policyTable } from "./table.ts";

function policy(name: string, rule: object): PolicyRow {
  const object = {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name, namespace: "shop" },
    spec: { endpointSelector: {}, ...rule },
  };
  const rules = compileCiliumPolicy(object);
  return { kind: object.kind, namespace: "shop", name, uid: "", generation: 1, rules };
}

test("the labels that policies ask of nodes are those that their peers name, as long as one does", () => {
  const db = new Database();
  const policies = policyTable(db);
  const labelKeys = db.table<{ readonly key: string }>({
    name: "keys",
    key: (row) => row.key,
    columns: [],
  });
  using _ = followNodeLabels({ db, policies, labelKeys });
  const keys = () => [...labelKeys.all()].map(({ key }) => key).sort();
  const matchLabels = { zone: "a" };
  const matchExpressions = [{ key: "k8s:rack", operator: "Exists" }];
  db.write((tx) => {
    tx.put(policies, policy("in", { ingress: [{ fromNodes: [{ matchLabels }] }] }));
    tx.put(policies, policy("out", { egressDeny: [{ toNodes: [{ matchLabels, matchExpressions }] }] }));
    tx.put(policies, policy("any", { ingress: [{ fromNodes: [{}] }] }));
    tx.put(policies, policy("pods", { ingress: [{ fromEndpoints: [{ matchLabels: { app: "web" } }] }] }));
  });
  assert.deepEqual(keys(), ["k8s:rack", "k8s:zone"]);
  db.write((tx) => tx.delete(policies, "CiliumNetworkPolicy shop/out"));
  assert.deepEqual(keys(), ["k8s:zone"]);
  db.write((tx) => tx.put(policies, policy("in", { ingress: [{ fromNodes: [{}] }] })));
  assert.deepEqual(keys(), []);
});
