// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "#nodes/node.ts";
import type { Changes } from "#store/table.ts";
import { type L2Changes, L2Scene } from "./l2-scene.ts";
import { toService } from "./source.ts";
import type { EndpointSlice, Service } from "./table.ts";

function service(name: string, { ip = "", local = false } = {}): Service {
  const object = {
    metadata: { namespace: "shop", name },
    spec: {
      type: "LoadBalancer",
      clusterIPs: ["10.96.0.1"],
      ports: [{ port: 80 }],
      ...(local && { externalTrafficPolicy: "Local" }),
    },
    status: { loadBalancer: { ingress: ip === "" ? [] : [{ ip }] } },
  };
  return toService(object as never)!;
}

const slice = (name: string, to: string, nodes: Record<string, boolean>): EndpointSlice => ({
  namespace: "shop",
  name,
  service: `shop/${to}`,
  ports: [],
  endpoints: Object.entries(nodes).map(([node, ready], i) => ({
    address: `10.0.0.${i}` as never,
    node,
    ready,
    serving: ready,
    terminating: false,
  })),
});

const node = (labels: Record<string, string>, leaving = false): Node => ({
  name: "n1",
  self: true,
  addresses: [],
  podCidrs: [],
  labels: new Map(Object.entries(labels)),
  ...(leaving && { leaving: true }),
});

/** Rows are put, names (of the key alone) deleted with their last row. */
function changes(rows: {
  services?: readonly Service[];
  slices?: readonly EndpointSlice[];
  gone?: readonly EndpointSlice[];
  nodes?: readonly Node[];
}): L2Changes {
  const put = <V extends { readonly name: string }>(list: readonly V[] = []): Changes<V> =>
    new Map(list.map((row) => [`shop/${row.name}`, { kind: "put", row }]));
  const gone = (rows.gone ?? []).map((row) => [`shop/${row.name}`, { kind: "delete", row }] as const);
  return {
    services: put(rows.services),
    endpointSlices: new Map([...put(rows.slices), ...gone]),
    nodes: put(rows.nodes),
    l2Policies: new Map(),
  };
}

test("most changes touch nothing that is announced", () => {
  const scene = new L2Scene("n1");
  assert.ok(scene.take(changes({})), "the first time all is new");
  assert.ok(!scene.take(changes({})));
  assert.ok(!scene.take(changes({ services: [service("inside")] })));
  assert.ok(scene.take(changes({ services: [service("web", { ip: "192.0.2.1" })] })));
  assert.deepEqual(
    [...scene.services()].map(({ name }) => name),
    ["web"],
  );
  assert.ok(!scene.take(changes({ slices: [slice("web-1", "web", { n1: true })] })), "policy Cluster");
  assert.ok(scene.take(changes({ services: [service("web")] })), "its address is gone");
  assert.deepEqual([...scene.services()], []);
});

test("of a Service with policy Local the first backend here counts, and the last", () => {
  const scene = new L2Scene("n1");
  scene.take(changes({ services: [service("local", { ip: "192.0.2.1", local: true })] }));
  const has = () => scene.node.hasBackend("shop/local");
  const far = slice("a", "local", { n2: true });
  assert.ok(!scene.take(changes({ slices: [far] })) && !has());
  assert.ok(!scene.take(changes({ slices: [slice("a", "local", { n1: false })] })) && !has(), "not ready");
  assert.ok(scene.take(changes({ slices: [slice("a", "local", { n1: true, n2: true })] })) && has());
  assert.ok(!scene.take(changes({ slices: [slice("b", "local", { n1: true })] })) && has(), "a second one");
  assert.ok(!scene.take(changes({ slices: [far] })) && has());
  assert.ok(scene.take(changes({ gone: [slice("b", "local", { n1: true })] })) && !has());
  assert.ok(scene.take(changes({ slices: [slice("c", "local", { n1: true })] })) && has());
  assert.ok(scene.take(changes({ slices: [slice("c", "other", { n1: true })] })) && !has(), "another's now");
});

test("the own node: its labels, and whether it is about to go", () => {
  const scene = new L2Scene("n1");
  assert.ok(scene.take(changes({ nodes: [node({ "k8s:rack": "one" })] })));
  assert.deepEqual(scene.node.labels, { rack: "one" });
  assert.ok(!scene.take(changes({ nodes: [node({ "k8s:rack": "one" })] })));
  assert.ok(!scene.take(changes({ nodes: [{ ...node({ "k8s:rack": "two" }), name: "n2" }] })));
  assert.ok(scene.take(changes({ nodes: [node({ "k8s:rack": "one" }, true)] })) && scene.leaving);
});
