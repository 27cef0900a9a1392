// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { startEgressController } from "#egress/controller.ts";
import { ownAddressTable } from "#egress/own-addresses.ts";
import { egressPolicyRow } from "#egress/policy.ts";
import { egressPolicyTable, egressTable } from "#egress/table.ts";
import type { Endpoint } from "#endpoints/endpoint.ts";
import { clusterEndpointTable, endpointTable } from "#endpoints/table.ts";
import { idle } from "#kit/clock.ts";
import { createHealth } from "#lib/health.ts";
import { parseAddress } from "#model/ip.ts";
import { parseLabels } from "#model/labels.ts";
import type { Node } from "#nodes/node.ts";
import { apiServerTable, nodeTable } from "#nodes/table.ts";
import { Database } from "#store/table.ts";

const node = (name: string, self: boolean): Node => ({
  name,
  self,
  addresses: [parseAddress(`192.168.0.${name.slice(1)}`)],
  podCidrs: [],
  labels: new Map([["k8s:name", name]]),
});

const gateway = (name: string) =>
  egressPolicyRow({
    metadata: { name: "legacy" },
    spec: {
      selectors: [{ podSelector: { matchLabels: { app: "billing" } } }],
      destinationCIDRs: ["0.0.0.0/0"],
      egressGateway: { nodeSelector: { matchLabels: { name } } },
    },
  } as object);

const labels = ["k8s:app=billing"];
const endpoint = (id: number, v4: string): Endpoint => ({
  id,
  namespace: "shop",
  pod: `web-${id}`,
  podUid: "",
  containerId: `c${id}`,
  ifname: "eth0",
  netns: "",
  hostIfname: `weft${id}`,
  hostIfindex: id,
  mac: "",
  hostMac: "",
  v4: parseAddress(v4),
  labels: parseLabels(labels),
  identity: 1000,
  namedPorts: [],
});
const far = (name: string, address: string) => ({
  namespace: "shop",
  name,
  identity: 1000,
  addresses: [address],
  nodeAddress: "192.168.0.2",
  namedPorts: [],
  labels,
});

function room(enabled = true) {
  const db = new Database();
  const tables = {
    policies: egressPolicyTable(db),
    nodes: nodeTable(db),
    apiServers: apiServerTable(db),
    ownAddresses: ownAddressTable(db),
    endpoints: endpointTable(db),
    clusterEndpoints: clusterEndpointTable(db),
  };
  const sources = Object.values(tables).map((table) => table.source("test"));
  const egress = egressTable(db);
  const health = createHealth();
  const controller = startEgressController({ db, ...tables, egress, enabled, health });
  const show = () =>
    [...egress.all()].map((row) => `${row.source} ${row.destination} ${row.way} ${row.gateway}`).sort();
  const sync = async () => {
    for (const source of sources) source.synced();
    await idle();
  };
  return { db, ...tables, egress, health, controller, show, sync };
}

test("nothing is said before everything is known; then a new pod's rows come with the pod itself", async () => {
  const at = room();
  using _ = at.controller;
  at.db.write((tx) => {
    tx.put(at.nodes, node("n1", true));
    tx.put(at.nodes, node("n2", false));
    tx.put(at.policies, gateway("n2"));
    tx.put(at.endpoints, endpoint(1, "10.0.1.1"));
  });
  await idle();
  assert.deepEqual([at.show(), at.egress.isReady], [[], false]);
  await at.sync();
  assert.ok(at.egress.isReady);
  assert.deepEqual(at.show(), ["10.0.1.1 0.0.0.0/0 tunnel n2"]);
  at.db.write((tx) => tx.put(at.endpoints, endpoint(2, "10.0.1.2")));
  assert.equal(at.show().length, 2, "in the same turn");
  at.db.write((tx) => tx.delete(at.endpoints, "2"));
  assert.equal(at.show().length, 1);
});

test("follows policies, gateways and pods of other nodes", async () => {
  const at = room();
  using _ = at.controller;
  at.db.write((tx) => {
    tx.put(at.nodes, node("n1", true));
    tx.put(at.nodes, node("n2", false));
    tx.put(at.endpoints, endpoint(1, "10.0.1.1"));
    tx.put(at.clusterEndpoints, { ...far("mine", "10.0.1.9"), nodeAddress: "192.168.0.1" });
  });
  await at.sync();
  assert.deepEqual(at.show(), []);
  at.db.write((tx) => tx.put(at.policies, gateway("n1")));
  await idle();
  assert.deepEqual(
    at.show(),
    ["10.0.1.1 0.0.0.0/0 gateway n1"],
    "what this node published is old news to it",
  );
  at.db.write((tx) => tx.put(at.clusterEndpoints, far("far", "10.0.2.1")));
  assert.equal(at.show().length, 2);
  at.db.write((tx) => tx.put(at.policies, gateway("n2")));
  await idle();
  assert.deepEqual(at.show(), ["10.0.1.1 0.0.0.0/0 tunnel n2"]);
  at.db.write((tx) => tx.delete(at.nodes, "n2"));
  await idle();
  assert.deepEqual(at.show(), ["10.0.1.1 0.0.0.0/0 none "]);
  at.db.write((tx) => tx.delete(at.policies, "legacy"));
  await idle();
  assert.deepEqual(at.show(), []);
});

test("an address that is another pod's by now stays in force when the first one's end is told", async () => {
  const at = room();
  using _ = at.controller;
  at.db.write((tx) => {
    tx.put(at.nodes, node("n1", true));
    tx.put(at.nodes, node("n2", false));
    tx.put(at.policies, gateway("n1"));
    tx.put(at.clusterEndpoints, far("old", "10.0.2.1"));
  });
  await at.sync();
  at.db.write((tx) => tx.put(at.clusterEndpoints, far("new", "10.0.2.1")));
  at.db.write((tx) => tx.delete(at.clusterEndpoints, "shop/old"));
  assert.deepEqual(
    [...at.egress.all()].map(({ pod }) => pod),
    ["shop/new"],
  );
});

test("where it is off, policies have no effect and that is said", async () => {
  const at = room(false);
  using _ = at.controller;
  at.db.write((tx) => {
    tx.put(at.nodes, node("n1", true));
    tx.put(at.policies, gateway("n1"));
    tx.put(at.endpoints, endpoint(1, "10.0.1.1"));
  });
  await at.sync();
  assert.deepEqual(at.show(), []);
  const [row] = at.health.rows().filter(({ name }) => name === "egress");
  assert.match(row?.message ?? "", /without effect/);
});
