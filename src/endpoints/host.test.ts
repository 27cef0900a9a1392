// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Endpoint as EndpointValue, endpointLayout } from "#datapath/layouts/endpoint.ts";
import { EndpointFlag, EndpointId } from "#datapath/layouts/enums.ts";
import type { TypedMap } from "#kernel/bpf/typed-map.ts";
import { u32Layout } from "#kernel/bpf/typed-map.ts";
import { idle } from "#kit/clock.ts";
import { memoryMap } from "#kit/memory-map.ts";
import { labelText } from "#model/labels.ts";
import type { Node } from "#nodes/node.ts";
import { nodeTable } from "#nodes/table.ts";
import { Database } from "#store/table.ts";
import type { EndpointPolicy } from "./controller.ts";
import { type HostEndpointDeps, hostEndpointTable, startHostEndpoint } from "./host.ts";

const id = EndpointId.hostEndpoint;

function node(name: string, self: boolean, labels: Readonly<Record<string, string>>): Node {
  return { name, self, addresses: [], podCidrs: [], labels: new Map(Object.entries(labels)) };
}

/** The node with everything around it; `map` is what the kernel would hold. */
function world(settings: Partial<Pick<HostEndpointDeps, "audit" | "enabled">> = {}) {
  const db = new Database();
  const nodes = nodeTable(db);
  const hosts = hostEndpointTable(db);
  const policies = db.table<EndpointPolicy>({
    name: "policies",
    key: ({ endpointId }) => String(endpointId),
    columns: [],
  });
  const map = memoryMap<number, EndpointValue>(u32Layout, endpointLayout);
  const inForce = new Set<string>();
  const nodeSource = nodes.source("test");
  const host = startHostEndpoint({
    ...{ db, nodes, hosts, policies, audit: false, enabled: true, ...settings },
    map: map as object as TypedMap<number, EndpointValue>,
    policyInForce: (policyId, revision) => inForce.has(`${policyId}/${revision}`),
  });
  return {
    ...{ db, nodes, hosts, map, inForce, nodeSource },
    refresh: () => host.refresh(),
    [Symbol.dispose]: () => host[Symbol.dispose](),
    put: (...rows: Node[]) => db.write((tx) => rows.forEach((row) => void tx.put(nodes, row))),
    judge: (policyId: number, revision: number, more: Partial<EndpointPolicy> = {}) =>
      db.write((tx) => {
        const open = { enforceIngress: false, enforceEgress: false };
        tx.put(policies, { endpointId: id, policyId, revision, ...open, ...more });
      }),
    held: () => {
      const { policyId, policyRev, flags } = map.get(0) ?? {};
      return [policyId, policyRev, flags];
    },
    labels: () => [...hosts.all()].map((row) => labelText(row.labels)),
  };
}

test("the node is an endpoint with its Node's labels, and follows them", async () => {
  using the = world();
  assert.deepEqual(the.labels(), [], "nothing is known of the node");
  the.put(node("n1", true, { "k8s:zone": "north" }), node("n2", false, { "k8s:zone": "south" }));
  await idle();
  assert.deepEqual(the.labels(), ["k8s:zone=north,reserved:host"]);
  assert.deepEqual([...the.hosts.all()][0]?.id, id);
  the.put(node("n1", true, { "k8s:zone": "south" }));
  await idle();
  assert.deepEqual(the.labels(), ["k8s:zone=south,reserved:host"]);
  assert.equal(the.hosts.isReady, false, "not all nodes are known");
  the.nodeSource.synced();
  await idle();
  assert.equal(the.hosts.isReady, true);
});

test("without host firewall no policy finds it, and nobody waits for it", async () => {
  using the = world({ enabled: false });
  the.put(node("n1", true, {}));
  the.nodeSource.synced();
  await idle();
  assert.deepEqual([the.labels(), the.hosts.isReady, the.map.size], [[], true, 0]);
});

test("it moves to a policy only when the kernel holds that revision", async () => {
  using the = world();
  the.put(node("n1", true, {}));
  the.judge(5, 1, { enforceIngress: true });
  await idle();
  assert.equal(the.map.size, 0, "the policy's map is not there");
  the.inForce.add("5/1");
  the.refresh();
  assert.deepEqual(the.held(), [5, 1, EndpointFlag.enforceIngress]);
  the.judge(5, 2, { enforceIngress: true, enforceEgress: true, audits: true });
  await idle();
  assert.deepEqual(the.held(), [5, 1, EndpointFlag.enforceIngress], "keeps the revision it has");
  the.inForce.add("5/2");
  the.refresh();
  const { enforceIngress, enforceEgress, audited } = EndpointFlag;
  assert.deepEqual(the.held(), [5, 2, enforceIngress | enforceEgress | audited]);
  the.judge(0, 1);
  await idle();
  assert.deepEqual(the.held(), [0, 1, 0], "no policy needs no map");
  assert.equal(the.map.get(0)?.identity, 1);
  assert.equal(the.map.get(0)?.id, id);
});

test("in audit its row says so, and what was let through is judged again when the audit ends", async () => {
  using the = world({ audit: true });
  the.inForce.add("5/7");
  the.judge(5, 7, { enforceEgress: true });
  await idle();
  assert.deepEqual(the.held(), [5, ~7 >>> 0, EndpointFlag.enforceEgress | EndpointFlag.audit]);
});

test("other endpoints' policies are not its own, and stopped it hears no more", async () => {
  using the = world();
  the.judge(0, 1);
  await idle();
  the.map.writes = 0;
  the.judge(0, 9, { endpointId: 1 });
  await idle();
  assert.equal(the.map.writes, 0);
  the[Symbol.dispose]();
  the.judge(0, 3);
  await idle();
  assert.equal(the.map.writes, 0);
});
