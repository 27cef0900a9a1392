// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeClock } from "#kit/clock.ts";
import { parseAddress, parsePrefix } from "#model/ip.ts";
import { ciliumNodeRow, ciliumNodeTable } from "#nodes/cilium-node.ts";
import type { Node } from "#nodes/node.ts";
import { poolStatusPatch } from "#nodes/pool-status.ts";
import { ciliumNodeOf, ciliumNodePatch, type Published } from "#nodes/publish.ts";
import { ownNodeChanged } from "#nodes/self.ts";
import { joinNodes } from "#nodes/source.ts";
import { nodeTable } from "#nodes/table.ts";
import { Database } from "#store/table.ts";

const self: Node = {
  name: "n1",
  uid: "u1",
  self: true,
  addresses: ["192.168.0.1", "fd01::1"].map(parseAddress),
  podCidrs: ["10.1.0.0/24", "fd00::/120"].map(parsePrefix),
  labels: new Map([["k8s:zone", "a"]]),
};
const published: Published = { node: self, bootId: "b1", ipam: "kubernetes" };
const stored = (wanted: Published) => {
  const object = ciliumNodeOf(wanted);
  return ciliumNodeRow({ ...object, metadata: { ...object.metadata, uid: "c1", resourceVersion: "1" } });
};

test("a node's CiliumNode has its addresses, its router addresses, its pod CIDRs and labels, and the Node as owner", () => {
  const { metadata, spec } = ciliumNodeOf(published);
  assert.deepEqual(metadata, {
    name: "n1",
    labels: { zone: "a" },
    ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "n1", uid: "u1" }],
  });
  assert.deepEqual(spec, {
    bootid: "b1",
    addresses: [
      { type: "InternalIP", ip: "192.168.0.1" },
      { type: "InternalIP", ip: "fd01::1" },
      { type: "CiliumInternalIP", ip: "10.1.0.1" },
      { type: "CiliumInternalIP", ip: "fd00::1" },
    ],
    ipam: { podCIDRs: ["10.1.0.0/24", "fd00::/120"] },
  });
});

test("what is as it should be is not written; what is not is, stale labels with it", () => {
  assert.equal(ciliumNodePatch(published, stored(published)), undefined);
  const other = { ...published, bootId: "b0", node: { ...self, labels: new Map([["k8s:old", "x"]]) } };
  const patch = ciliumNodePatch(published, stored(other)) as { metadata: object; spec: { bootid: string } };
  assert.deepEqual(patch.metadata, {
    labels: { zone: "a", old: null },
    ownerReferences: ciliumNodeOf(published).metadata.ownerReferences,
  });
  assert.equal(patch.spec.bootid, "b1");
});

test("pod CIDRs of the cluster's pools are the operator's: the agent does not write them", () => {
  const pooled: Published = { ...published, ipam: "cluster-pool" };
  const moved = stored({ ...pooled, node: { ...self, podCidrs: [parsePrefix("10.9.0.0/24")] } });
  const addresses = ciliumNodeOf(pooled).spec.addresses ?? [];
  assert.equal(ciliumNodePatch(pooled, { ...moved, spec: { ...moved.spec, addresses } }), undefined);
  assert.notEqual(ciliumNodePatch(published, { ...moved, spec: { ...moved.spec, addresses } }), undefined);
});

function tables(ipam: Published["ipam"]) {
  const db = new Database();
  const kubeNodes = nodeTable(db, "kube-nodes");
  const ciliumNodes = ciliumNodeTable(db);
  const nodes = nodeTable(db);
  joinNodes({ db, kubeNodes, ciliumNodes, nodes, ipam });
  return { db, kubeNodes, ciliumNodes, nodes };
}

test("pod CIDRs come from the Node, or from the CiliumNode, and a node without them stays a node", () => {
  const kubernetes = tables("kubernetes");
  kubernetes.db.write((tx) => tx.put(kubernetes.kubeNodes, self));
  assert.deepEqual(kubernetes.nodes.get("n1"), self);

  const { db, kubeNodes, ciliumNodes, nodes } = tables("cluster-pool");
  db.write((tx) => tx.put(kubeNodes, { ...self, podCidrs: [] }));
  assert.deepEqual(nodes.get("n1")?.podCidrs, []);
  db.write((tx) => tx.put(ciliumNodes, stored(published)));
  assert.deepEqual(nodes.get("n1"), self);
  db.write((tx) => tx.delete(kubeNodes, "n1"));
  assert.equal(nodes.size, 0);
});

test("an own node that changed is said so; one that is away for a while is not", async () => {
  const { db, kubeNodes, nodes } = tables("kubernetes");
  const put = (node: Node) => db.write((tx) => tx.put(kubeNodes, node));
  put(self);
  const { signal } = new AbortController();
  let said: string | undefined;
  const clock = fakeClock();
  const changed = ownNodeChanged(self, nodes, { families: [4], signal, clock }).then((text) => {
    said = text;
  });
  put({ ...self, podCidrs: [] });
  put({ ...self, podCidrs: ["10.1.0.0/24", "fd00:9::/120"].map(parsePrefix), labels: new Map() });
  db.write((tx) => tx.delete(kubeNodes, "n1"));
  put({ ...self, addresses: ["fd01::1", "192.168.0.1"].map(parseAddress) });
  put({ ...self, podCidrs: [parsePrefix("10.3.0.0/24")] });
  await clock.advance(1_000);
  put(self);
  await clock.advance(5_000);
  assert.equal(said, undefined);
  put({ ...self, podCidrs: [parsePrefix("10.2.0.0/24")] });
  await clock.advance(2_000);
  await changed;
  assert.equal(said, "pod CIDR of node n1 changed from 10.1.0.0/24 to 10.2.0.0/24");
});

test("how full a pod CIDR is: said when it changes, forgotten with the CIDR", () => {
  const usage = [
    { cidr: "10.1.0.0/24", used: 253, size: 253 },
    { cidr: "fd00::/120", used: 3, size: 254 },
  ];
  const status = { "10.1.0.0/24": { status: "depleted" }, "fd00::/120": { status: "in-use" } };
  assert.equal(poolStatusPatch(usage, status), undefined);
  assert.deepEqual(
    poolStatusPatch(usage, { ...status, "10.1.0.0/24": { status: "in-use" }, "10.9.0.0/24": {} }),
    {
      status: { ipam: { "pod-cidrs": { "10.1.0.0/24": { status: "depleted" }, "10.9.0.0/24": null } } },
    },
  );
});
