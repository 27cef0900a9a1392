// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress, parsePrefix } from "#model/ip.ts";
import { parseLabels } from "#model/labels.ts";
import { Database } from "#store/table.ts";
import { compileCiliumPolicy } from "./from-cilium.ts";
import { compileClusterNetworkPolicy } from "./from-cluster-network-policy.ts";
import { compileNetworkPolicy } from "./from-network-policy.ts";
import { joinReferences, type ReferencedSlice } from "./join-references.ts";
import type { ReferencedPod } from "./named-blocks.ts";
import { peerText } from "./peer.ts";
import { nothingReferenced, plainRules, type ReferencedNode, type ReferencedService } from "./references.ts";
import type { CidrGroup, PolicyRow } from "./table.ts";
import { cidrGroupTable, policyTable } from "./table.ts";

function rulesOf(rule: object) {
  return compileCiliumPolicy({
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "p", namespace: "shop" },
    spec: { endpointSelector: {}, ...rule },
  });
}

function policy(name: string, rule: object): PolicyRow {
  const rules = rulesOf(rule);
  return { kind: "CiliumNetworkPolicy", namespace: "shop", name, uid: "", generation: 1, rules };
}

function group(name: string, prefixes: readonly string[], labels: CidrGroup["labels"] = {}): CidrGroup {
  return { name, labels, prefixes: prefixes.map(parsePrefix) };
}

function setUp() {
  const db = new Database();
  const written = policyTable(db, "written-policies");
  const policies = policyTable(db);
  const cidrGroups = cidrGroupTable(db);
  const key = ({ namespace, name }: ReferencedService) => `${namespace}/${name}`;
  const services = db.table<ReferencedService>({ name: "services", key, columns: [] });
  const endpointSlices = db.table<ReferencedSlice & { readonly name: string }>({
    name: "endpoint-slices",
    key: ({ name }) => name,
    indexes: { service: (row) => [row.service] },
    columns: [],
  });
  const nodes = db.table<ReferencedNode>({ name: "nodes", key: ({ name }) => name, columns: [] });
  const pods = db.table<ReferencedPod & { readonly name: string }>({
    name: "pods",
    key: ({ name }) => name,
    columns: [],
  });
  const join = joinReferences({ db, written, cidrGroups, services, nodes, endpointSlices, pods, policies });
  const peers = (name: string) =>
    policies
      .get(`CiliumNetworkPolicy shop/${name}`)!
      .rules.flatMap((rule) => (rule.peers ?? []).map(peerText));
  const warnings = (name: string) => policies.get(`CiliumNetworkPolicy shop/${name}`)!.warnings;
  return { db, written, policies, cidrGroups, services, nodes, endpointSlices, pods, join, peers, warnings };
}

test("a group that comes, changes and goes changes the policies that name it, and no others", () => {
  const { db, written, policies, cidrGroups, join, peers, warnings } = setUp();
  using _ = join;
  db.write((tx) => {
    tx.put(written, policy("by-name", { ingress: [{ fromCIDRSet: [{ cidrGroupRef: "office" }] }] }));
    const cidrGroupSelector = { matchLabels: { role: "people" } };
    tx.put(written, policy("by-label", { egressDeny: [{ toCIDRSet: [{ cidrGroupSelector }] }] }));
    tx.put(written, policy("plain", { ingress: [{ fromCIDR: ["192.0.2.0/24"] }] }));
  });
  assert.deepEqual(peers("by-name"), []);
  assert.deepEqual(warnings("by-name"), [
    "spec.ingress[0].fromCIDRSet[0]: CiliumCIDRGroup office does not exist and selects nobody",
  ]);
  const plain = policies.get("CiliumNetworkPolicy shop/plain");
  const byLabel = policies.get("CiliumNetworkPolicy shop/by-label");

  db.write((tx) => tx.put(cidrGroups, group("office", ["203.0.113.0/24"])));
  assert.deepEqual(peers("by-name"), ["cidr:203.0.113.0/24"]);
  assert.equal(warnings("by-name"), undefined);
  assert.equal(policies.get("CiliumNetworkPolicy shop/by-label"), byLabel);

  db.write((tx) => tx.put(cidrGroups, group("office", ["203.0.113.0/25"], { role: "people" })));
  assert.deepEqual(peers("by-name"), ["cidr:203.0.113.0/25"]);
  assert.deepEqual(peers("by-label"), ["cidr:203.0.113.0/25"]);

  db.write((tx) => tx.put(cidrGroups, group("office", ["203.0.113.0/25"])));
  assert.deepEqual(peers("by-label"), [], "it has the label no more");

  db.write((tx) => tx.delete(cidrGroups, "office"));
  assert.deepEqual(peers("by-name"), []);
  assert.equal(policies.get("CiliumNetworkPolicy shop/plain"), plain);
  db.write((tx) => tx.delete(written, "CiliumNetworkPolicy shop/by-name"));
  assert.equal(policies.size, 2);
});

test("a Service means its pods, or the addresses in its EndpointSlices", () => {
  const { db, written, policies, services, endpointSlices, join, peers, warnings } = setUp();
  using _ = join;
  const k8sService = { serviceName: "db", namespace: "data" };
  db.write((tx) => tx.put(written, policy("p", { egress: [{ toServices: [{ k8sService }] }] })));
  assert.deepEqual(warnings("p"), [
    "spec.egress[0].toServices[0]: Service data/db does not exist and selects nobody",
  ]);
  db.write((tx) => tx.put(services, { namespace: "shop", name: "db", selector: { app: "other" } }));
  assert.deepEqual(peers("p"), []);
  db.write((tx) => tx.put(services, { namespace: "data", name: "db", selector: { app: "db" } }));
  assert.deepEqual(peers("p"), ["{k8s:app=db, k8s:io.kubernetes.pod.namespace=data}"]);
  const before = policies.get("CiliumNetworkPolicy shop/p");
  const slice = (...addresses: string[]) => ({
    name: "db-1",
    service: "data/db",
    endpoints: addresses.map((address) => ({ address: parseAddress(address) })),
  });
  db.write((tx) => tx.put(endpointSlices, slice("10.0.0.1")));
  assert.equal(policies.get("CiliumNetworkPolicy shop/p"), before, "its pods have identities of their own");
  db.write((tx) => tx.put(services, { namespace: "data", name: "db" }));
  assert.deepEqual(peers("p"), ["cidr:10.0.0.1/32"]);
  db.write((tx) => tx.put(endpointSlices, slice("10.0.0.2", "2001:db8::2")));
  assert.deepEqual(peers("p"), ["cidr:10.0.0.2/32", "cidr:2001:db8::2/128"]);
  db.write((tx) => tx.delete(endpointSlices, "db-1"));
  assert.deepEqual(warnings("p"), [
    "spec.egress[0].toServices[0]: no Service it names has an endpoint and selects nobody",
  ]);
});

test("excepts cut holes into the prefixes of a group, and take away those they have whole", () => {
  const except = ["10.1.0.0/16", "10.2.0.0/16"];
  const rules = rulesOf({ ingress: [{ fromCIDRSet: [{ cidrGroupRef: "g", except }] }] });
  const groups = [group("g", ["10.0.0.0/8", "10.2.3.0/24", "192.0.2.0/24"])];
  const known = { ...nothingReferenced, cidrGroups: () => groups };
  assert.deepEqual(plainRules(rules, known).rules[0]!.peers!.map(peerText), [
    "cidr:10.0.0.0/8 except 10.1.0.0/16 10.2.0.0/16",
    "cidr:192.0.2.0/24",
  ]);
});

function node(name: string, zone: string, addresses: readonly string[], external: readonly string[] = []) {
  return {
    name,
    labels: parseLabels([`k8s:zone=${zone}`]),
    addresses: addresses.map(parseAddress),
    ...(external.length > 0 && { externalAddresses: external.map(parseAddress) }),
  } satisfies ReferencedNode;
}

test("nodes mean all their addresses, of those with the labels", () => {
  const { db, written, policies, nodes, join } = setUp();
  using _ = join;
  const peers = () => policies.get("ClusterNetworkPolicy p")!.rules.map((rule) => rule.peers?.map(peerText));
  const rules = compileClusterNetworkPolicy({
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    metadata: { name: "p" },
    spec: {
      tier: "Admin",
      priority: 1,
      subject: { namespaces: {} },
      egress: [
        { action: "Deny", to: [{ nodes: { matchLabels: { zone: "a" } } }, { networks: ["192.0.2.0/24"] }] },
        { action: "Pass", to: [{ nodes: {} }] },
      ],
    },
  });
  const kind = "ClusterNetworkPolicy";
  db.write((tx) => tx.put(written, { kind, namespace: "", name: "p", uid: "", generation: 1, rules }));
  assert.deepEqual(peers(), [["block:192.0.2.0/24"], []]);
  assert.deepEqual(policies.get("ClusterNetworkPolicy p")!.warnings, [
    "spec.egress[0].to[0].nodes: no node has these labels and selects nobody",
    "spec.egress[1].to[0].nodes: no node has these labels and selects nobody",
  ]);
  db.write((tx) => {
    tx.put(nodes, node("n1", "a", ["172.18.0.2", "fc00::2"], ["203.0.113.2"]));
    tx.put(nodes, node("n2", "b", ["172.18.0.3"]));
  });
  const ofOne = ["block:172.18.0.2/32", "block:203.0.113.2/32", "block:fc00::2/128"];
  const [first, , third] = ofOne;
  assert.deepEqual(peers(), [
    ["block:192.0.2.0/24", ...ofOne],
    [first, "block:172.18.0.3/32", "block:203.0.113.2/32", third],
  ]);
  db.write((tx) => tx.put(nodes, node("n1", "b", ["172.18.0.2"])));
  assert.deepEqual(peers(), [["block:192.0.2.0/24"], [first, "block:172.18.0.3/32"]]);
});

test("a port's name in a block of addresses is the number that each pod in it has for the name", () => {
  const { db, written, policies, pods, join } = setUp();
  using _ = join;
  const rules = compileNetworkPolicy({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "p", namespace: "shop" },
    spec: {
      podSelector: {},
      egress: [
        { to: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["10.9.0.0/16"] } }], ports: [{ port: "http" }] },
      ],
    },
  });
  const row = { kind: "NetworkPolicy", namespace: "shop", name: "p", uid: "", generation: 1, rules };
  const pod = (name: string, address: string, port: number) => ({
    name,
    addresses: [address],
    namedPorts: [{ name: "http", port, proto: 6 }],
  });
  const numbers = () =>
    policies
      .get("NetworkPolicy shop/p")!
      .rules.filter(({ ports }) => ports?.every(({ name }) => name === undefined))
      .map(({ peers, ports }) => `${peers!.map(peerText).join()} ${ports![0]!.first}`);
  db.write((tx) => {
    tx.put(written, row);
    tx.put(pods, pod("a", "10.0.0.1", 80));
    tx.put(pods, pod("hole", "10.9.0.1", 80));
    tx.put(pods, pod("far", "192.168.0.1", 80));
  });
  assert.deepEqual(numbers(), ["block:10.0.0.1/32 80"]);
  db.write((tx) => tx.put(pods, pod("b", "10.0.0.2", 8080)));
  assert.deepEqual(numbers(), ["block:10.0.0.1/32 80", "block:10.0.0.2/32 8080"]);
  const before = policies.get("NetworkPolicy shop/p");
  db.write((tx) => tx.put(pods, { name: "c", addresses: ["10.0.0.3"], namedPorts: [] }));
  assert.equal(policies.get("NetworkPolicy shop/p"), before, "it has no such port");
  db.write((tx) => tx.delete(pods, "a"));
  assert.deepEqual(numbers(), ["block:10.0.0.2/32 8080"]);
});
