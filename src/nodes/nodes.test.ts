// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { idle } from "#kit/clock.ts";
import { createHealth } from "#lib/health.ts";
import { parseAddress, parsePrefix } from "#model/ip.ts";
import { apiServersOf, desired, startNodeController } from "#nodes/controller.ts";
import { type Node, routerAddress, tunnelAddress } from "#nodes/node.ts";
import { toApiServers, toNode } from "#nodes/source.ts";
import { apiServerTable, type NodeClaim, nodeLabelKeyTable, nodeTable, routeTable } from "#nodes/table.ts";
import { Database } from "#store/table.ts";

const node = (name: string, addresses: string[], podCidrs: string[], self = false): Node => ({
  name,
  self,
  addresses: addresses.map(parseAddress),
  podCidrs: podCidrs.map(parsePrefix),
  labels: new Map(),
});
const n1 = node("n1", ["192.168.0.1", "fd01::1"], ["10.244.1.0/24", "fd10:1::/64"], true);
const n2 = node("n2", ["192.168.0.2", "fd01::2"], ["10.244.2.0/24", "fd10:2::/64"]);
const both = [4, 6] as const;
const remote = ({ routes }: ReturnType<typeof desired>) => routes.filter((route) => !route.unreachable);
const show = ({ routes, claims }: ReturnType<typeof desired>) => ({
  routes: routes.map((r) =>
    r.unreachable
      ? `${r.dst} unreachable`
      : `${r.dst} ${r.encap ? `encap ${r.encap.id} ${r.encap.dst}` : `via ${r.gateway}`}${r.src ? ` src ${r.src}` : ""}`,
  ),
  claims: claims.map((c) => `${c.source} ${c.prefix} ${c.identity}${c.tunnel ? ` at ${c.tunnel}` : ""}`),
});

test("a Node object becomes a row; what cannot be read is named", () => {
  const object = {
    metadata: { name: "n1", labels: { a: "b" } },
    spec: { podCIDR: "10.244.1.0/24", podCIDRs: ["10.244.1.0/24", "fd10:1::/64"] },
    status: {
      addresses: [
        { type: "Hostname", address: "n1" },
        { type: "InternalIP", address: "192.168.0.1" },
      ],
    },
  };
  assert.deepEqual(toNode(object, "n1"), {
    name: "n1",
    self: true,
    addresses: ["192.168.0.1"],
    podCidrs: ["10.244.1.0/24", "fd10:1::/64"],
    labels: new Map([["k8s:a", "b"]]),
  });
  assert.equal(toNode({ metadata: { name: "n2" } }, "n1").self, false);
  assert.throws(() => toNode({ ...object, spec: { podCIDRs: ["x"] } }, "n1"), /Node n1: spec.podCIDRs/);
  const slice = {
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.0.0.1"] }, { addresses: ["10.0.0.2"], conditions: { ready: false } }],
  };
  assert.deepEqual(toApiServers(slice), [{ address: "10.0.0.1" }]);
});

const anyNode = () => 6;

test("router and tunnel addresses", () => {
  assert.equal(routerAddress(n1, 4), "10.244.1.1");
  assert.equal(routerAddress(n1, 6), "fd10:1::1");
  assert.equal(routerAddress(node("x", [], []), 4), undefined);
  assert.equal(tunnelAddress(n1, n2), "192.168.0.2");
  assert.equal(tunnelAddress(n1, node("x", ["fd01::9"], [])), "fd01::9");
  assert.equal(tunnelAddress(node("x", ["fd01::9"], []), node("y", ["1.2.3.4"], [])), undefined);
});

test("tunnel: routes through the device, router addresses behind their node, node addresses directly", () => {
  assert.deepEqual(show(desired([n2, n1], anyNode, { routing: "tunnel", families: both })), {
    routes: [
      "10.244.1.0/24 unreachable",
      "fd10:1::/64 unreachable",
      "10.244.2.0/24 encap 6 192.168.0.2 src 10.244.1.1",
      "fd10:2::/64 encap 6 192.168.0.2 src fd10:1::1",
    ],
    claims: [
      "host 192.168.0.1/32 1",
      "host fd01::1/128 1",
      "host 10.244.1.1/32 1",
      "host fd10:1::1/128 1",
      "node 192.168.0.2/32 6",
      "node fd01::2/128 6",
      "node 10.244.2.1/32 6 at 192.168.0.2",
      "node fd10:2::1/128 6 at 192.168.0.2",
      "node 10.244.2.0/24 9 at 192.168.0.2",
      "node fd10:2::/64 10 at 192.168.0.2",
    ],
  });
});

test("native: routes by way of the node, no tunnel in the ipcache; one family only when told", () => {
  assert.deepEqual(show(desired([n1, n2], anyNode, { routing: "native", families: both })).routes, [
    "10.244.1.0/24 unreachable",
    "fd10:1::/64 unreachable",
    "10.244.2.0/24 via 192.168.0.2",
    "fd10:2::/64 via fd01::2",
  ]);
  const four = show(desired([n1, n2], anyNode, { routing: "native", families: [4] }));
  assert.deepEqual(four.routes, ["10.244.1.0/24 unreachable", "10.244.2.0/24 via 192.168.0.2"]);
  assert.ok(four.claims.includes("node 10.244.2.1/32 6"));
});

test("a node without pod CIDR or address has no route; of two with one CIDR the first by name, ours above all", () => {
  const options = { routing: "tunnel", families: both } as const;
  assert.deepEqual(remote(desired([n1, node("n3", ["192.168.0.3"], [])], anyNode, options)), []);
  assert.deepEqual(remote(desired([n1, node("n3", [], ["10.244.3.0/24"])], anyNode, options)), []);
  assert.deepEqual(desired([n2], anyNode, options).routes, [], "we are not registered yet");
  const twins = [
    n1,
    node("b", ["192.168.0.4"], ["10.244.2.0/24"]),
    node("a", ["192.168.0.3"], ["10.244.2.0/24"]),
    node("c", ["192.168.0.5"], ["10.244.1.0/24"]),
  ];
  assert.deepEqual(
    remote(desired(twins, anyNode, options)).map((r) => r.node),
    ["a"],
  );
});

test("a node that is replaced by one of the same name at another address, and one that goes", async () => {
  const db = new Database();
  const nodes = nodeTable(db);
  const apiServers = apiServerTable(db);
  const routes = routeTable(db);
  const claims = db.table<NodeClaim>({
    name: "claims",
    key: (row) => `${row.source} ${row.prefix}`,
    columns: [],
  });
  const labelKeys = nodeLabelKeyTable(db);
  const sources = [nodes.source("t"), apiServers.source("t"), labelKeys.source("t")];
  const stop = new AbortController();
  await using _controller = startNodeController(
    {
      db,
      nodes,
      apiServers,
      routes,
      claims,
      labelKeys,
      identities: { assign: (others) => others.map(() => 6), setHost() {}, setApiServers() {} },
      routing: "tunnel",
      families: both,
      health: createHealth(),
      log: pino({ level: "silent" }),
    },
    stop.signal,
  );
  const put = async (...rows: Node[]) => {
    db.write((tx) => {
      for (const row of rows) tx.put(nodes, row);
    });
    await idle();
  };
  await put(n1, n2);
  assert.equal(routes.size, 0, "not before all is known");
  for (const source of sources) source.synced();
  await routes.ready;
  await claims.ready;
  assert.equal(routes.get("10.244.2.0/24")?.encap?.dst, "192.168.0.2");
  await put(node("n2", ["192.168.0.22"], ["10.244.2.0/24"]));
  assert.equal(routes.get("10.244.2.0/24")?.encap?.dst, "192.168.0.22");
  assert.equal(routes.size, 3);
  assert.equal(claims.get("node 192.168.0.2/32"), undefined);
  assert.equal(claims.get("node 10.244.2.1/32")?.tunnel, "192.168.0.22");
  db.write((tx) => tx.delete(nodes, "n2"));
  await idle();
  assert.deepEqual(
    [routes.size - 2, [...claims.all()].filter((row) => row.source === "node").length],
    [0, 0],
  );
});

test("an API server is the node it answers at, this one too, or it is outside", () => {
  const at = (address: string) => ({ address: parseAddress(address) });
  const found = apiServersOf([n1, n2], [at("192.168.0.1"), at("fd01::2"), at("203.0.113.9")]);
  assert.deepEqual([...found.nodes], ["n1", "n2"]);
  assert.deepEqual([...found.outside], ["203.0.113.9/32"]);
});

test("each other node's addresses have the identity it is given", () => {
  const given = desired([n1, n2], ({ name }) => (name === "n2" ? 0x02_00_00_07 : 6), {
    routing: "tunnel",
    families: both,
  });
  const ofNodes = given.claims.filter(({ identity }) => identity === 0x02_00_00_07);
  assert.deepEqual(
    ofNodes.map(({ prefix }) => prefix),
    ["192.168.0.2/32", "fd01::2/128", "10.244.2.1/32", "fd10:2::1/128"],
  );
});
