// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { gatewayFor, gatewaysOf } from "#egress/gateways.ts";
import { egressEntry, egressKeyText } from "#egress/ops.ts";
import { addressFor, type OwnAddress } from "#egress/own-addresses.ts";
import { type EgressPolicy, egressPolicyRow } from "#egress/policy.ts";
import { type EgressPod, type EgressWorld, egressRows } from "#egress/rows.ts";
import { type Address, parseAddress } from "#model/ip.ts";
import { type Labels, parseLabels } from "#model/labels.ts";
import { type Node, nodeAddress } from "#nodes/node.ts";

const node = (name: string, labels: Record<string, string> = {}, more: Partial<Node> = {}): Node => ({
  name,
  self: false,
  addresses: [`192.168.0.${name.slice(1)}`, `fd01::${name.slice(1)}`].map(parseAddress),
  podCidrs: [],
  labels: new Map(Object.entries(labels).map(([key, value]) => [`k8s:${key}`, value])),
  ...more,
});

const policy = (spec: string): EgressPolicy =>
  egressPolicyRow({
    metadata: { name: "legacy" },
    spec: {
      selectors: [{ podSelector: { matchLabels: { app: "billing" } } }],
      destinationCIDRs: ["0.0.0.0/0", "::/0"],
      egressGateway: { nodeSelector: { matchLabels: { gateway: "yes" } } },
      ...(parse(spec) as object),
    },
  } as object);

const billing: Labels = parseLabels(["k8s:app=billing", "k8s:io.kubernetes.pod.namespace=shop"]);
const own: readonly OwnAddress[] = [
  { address: parseAddress("192.168.0.1"), device: "eth0", ifindex: 2, order: 0 },
  { address: parseAddress("192.168.0.77"), device: "eth0", ifindex: 2, order: 1 },
  { address: parseAddress("10.9.0.1"), device: "eth1", ifindex: 3, order: 2 },
  { address: parseAddress("fd09::1"), device: "eth1", ifindex: 3, order: 3 },
];

function world(
  nodes: readonly Node[],
  policies: readonly EgressPolicy[],
  apiServers: readonly Address[] = [],
): EgressWorld {
  const self = nodes.find((one) => one.self)!;
  const addressOf: EgressWorld["addressOf"] = (choice, of) =>
    addressFor(own, choice, { of, usual: nodeAddress(self, of) });
  return { policies, nodes, apiServers, addressOf };
}

const pod = (name: string, address: string, at: Node | undefined, labels = billing): EgressPod => ({
  name,
  labels,
  addresses: [parseAddress(address)],
  node: at,
});

const show = (rows: ReturnType<ReturnType<typeof egressRows>>) =>
  rows.map(({ source, destination, way, gateway, node: to, address }) =>
    [source, destination, way, gateway, to, address]
      .filter((part) => part !== undefined && part !== "")
      .join(" "),
  );

test("the pod's node sends through the tunnel, the gateway translates, other nodes need not know", () => {
  const nodes = (self: string) =>
    [node("n1", { gateway: "yes" }), node("n2"), node("n3")].map((one) => ({
      ...one,
      self: one.name === self,
    }));
  const rows = (self: string) => {
    const all = nodes(self);
    const made = egressRows(world(all, [policy("{}")]));
    return show([...made(pod("shop/a", "10.0.1.5", all[0])), ...made(pod("shop/b", "10.0.2.5", all[1]))]);
  };
  assert.deepEqual(rows("n2"), ["10.0.2.5 0.0.0.0/0 tunnel n1 192.168.0.1"]);
  assert.deepEqual(rows("n1"), [
    "10.0.1.5 0.0.0.0/0 gateway n1 192.168.0.1",
    "10.0.2.5 0.0.0.0/0 gateway n1 192.168.0.2 192.168.0.1",
  ]);
  assert.deepEqual(rows("n3"), []);
});

test("whom a policy selects: pods, their namespaces, the nodes they are on", () => {
  const [n1, n2] = [node("n1", { gateway: "yes", zone: "a" }, { self: true }), node("n2", { zone: "b" })];
  const selected = (selectors: string, labels: readonly string[], at: Node | undefined = n1) => {
    const made = egressRows(world([n1, n2], [policy(`selectors: ${selectors}`)]));
    return made(pod("shop/a", "10.0.1.5", at, parseLabels(labels))).length > 0;
  };
  const billed = ["k8s:app=billing", "k8s:io.cilium.k8s.namespace.labels.team=payments"];
  assert.ok(selected("[{podSelector: {matchLabels: {app: billing}}}]", billed));
  assert.ok(!selected("[{podSelector: {matchLabels: {app: web}}}]", billed));
  assert.ok(selected("[{podSelector: {}}]", []));
  const both =
    "podSelector: {matchLabels: {app: billing}}, namespaceSelector: {matchLabels: {team: payments}}";
  assert.ok(selected(`[{${both}}]`, billed));
  assert.ok(!selected(`[{${both}}]`, ["k8s:app=billing"]));
  assert.ok(selected("[{podSelector: {matchLabels: {app: web}}}, {podSelector: {}}]", billed), "any entry");
  const inZone = (zone: string) => `[{podSelector: {}, nodeSelector: {matchLabels: {zone: ${zone}}}}]`;
  assert.ok(selected(inZone("a"), billed));
  assert.ok(!selected(inZone("b"), billed));
  assert.ok(selected(inZone("b"), billed, n2));
  assert.ok(!selected(inZone("b"), billed, undefined), "of a node that is not known");
});

test("the address: the policy's own, a device's, or the node's; each family for itself", () => {
  const n1 = node("n1", { gateway: "yes" }, { self: true });
  const address = (more: string, source = "10.0.1.5") => {
    const spec = `egressGateway: {nodeSelector: {matchLabels: {gateway: "yes"}}${more}}`;
    return egressRows(world([n1], [policy(spec)]))(pod("shop/a", source, n1))[0]?.address;
  };
  assert.equal(address(""), "192.168.0.1");
  assert.equal(address("", "fd00::5"), "fd01::1");
  assert.equal(address(", egressIP: 192.168.0.77"), "192.168.0.77");
  assert.equal(address(", egressIP: 192.168.0.78"), undefined, "not of this node");
  assert.equal(address(", egressIP: 192.168.0.77", "fd00::5"), undefined, "not of this family");
  assert.equal(address(", interface: eth1"), "10.9.0.1");
  assert.equal(address(", interface: eth1", "fd00::5"), "fd09::1");
  assert.equal(address(", interface: eth7"), undefined);
});

test("no gateway: dropped where the pod is, and nowhere a way around", () => {
  const n1 = node("n1", {}, { self: true });
  const made = egressRows(
    world([n1, node("n2")], [policy("excludedCIDRs: [10.0.0.0/8]")], [parseAddress("192.0.2.1")]),
  );
  assert.deepEqual(show(made(pod("shop/a", "10.0.1.5", n1))), [
    "10.0.1.5 0.0.0.0/0 none",
    "10.0.1.5 10.0.0.0/8 excluded",
    "10.0.1.5 192.0.2.1/32 excluded",
  ]);
  assert.deepEqual(made(pod("shop/b", "10.0.2.5", node("n2"))), []);
});

test("of nodes that fit the first that is well; when none is, the first", () => {
  const chosen = (...nodes: Node[]) => gatewaysOf(policy("{}"), nodes).map((one) => one.node.name);
  const yes = { gateway: "yes" };
  assert.deepEqual(chosen(node("n3", yes), node("n2", yes), node("n1")), ["n2"]);
  assert.deepEqual(chosen(node("n2", yes, { notReady: true }), node("n3", yes)), ["n3"]);
  assert.deepEqual(chosen(node("n2", yes, { leaving: true }), node("n3", yes)), ["n3"]);
  assert.deepEqual(chosen(node("n2", yes, { leaving: true }), node("n3", yes, { notReady: true })), ["n2"]);
  assert.deepEqual(chosen(node("n1")), []);
});

test("several gateways share the pods, and one that goes moves its own share alone", () => {
  const list = ["n1", "n2", "n3"].map((name) => `{nodeSelector: {matchLabels: {name: ${name}}}}`);
  const several = policy(`egressGateways: [${list.join()}, ${list[0]}]`);
  const nodes = ["n1", "n2", "n3"].map((name) => node(name, { name }));
  const of = (all: readonly Node[]) => {
    const gateways = gatewaysOf(several, all);
    return Array.from({ length: 300 }, (_, i) => gatewayFor(`shop/web-${i}`, gateways)?.node.name);
  };
  const all = of(nodes);
  for (const name of ["n1", "n2", "n3"]) {
    const share = all.filter((one) => one === name).length;
    assert.ok(share > 70 && share < 130, `${name} has ${share}`);
  }
  const without = of(nodes.slice(1));
  assert.deepEqual(
    without,
    all.map((name, i) => (name === "n1" ? without[i] : name)),
  );
  assert.ok(!without.includes("n1"));
  assert.equal(gatewayFor("shop/a", []), undefined);
});

test("a row becomes an element of the map, and its name comes back from the key", () => {
  const n1 = node("n1", { gateway: "yes" }, { self: true });
  for (const source of ["10.0.1.5", "fd00::5"]) {
    const [row] = egressRows(world([n1], [policy("destinationCIDRs: [192.0.2.0/24, 2001:db8::/32]")]))(
      pod("shop/a", source, n1),
    );
    assert.ok(row);
    const { key, value } = egressEntry(row);
    assert.equal(egressKeyText(key), `${row.source} ${row.destination}`);
    assert.equal(key.prefixlen, 128 + (source.includes(":") ? 32 : 120));
    assert.deepEqual([value.flags, value.address, value.node], [1, row.address, undefined]);
  }
});
