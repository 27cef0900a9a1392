// SPDX-License-Identifier: Apache-2.0
import fc from "#kit/property.ts";
import type { Cluster, ClusterNode, Manifest, NamedPort, Pod, Settings } from "./oracle/cluster.ts";
import type { Attempt } from "./oracle/side.ts";

/** Random clusters, small enough that what random policies speak of is mostly there. They shrink. */

export const namespaces = ["x", "y", "z"] as const;
export const outside = [
  "203.0.113.5",
  "203.0.113.77",
  "198.51.100.7",
  "2001:db8::5",
  "2001:db8:1::7",
] as const;
const apiServers = ["192.0.2.10", "2001:db8:ffff::10", "172.18.0.1", "172.18.0.2", "fd00:172:18::2"] as const;

/** A name is another number in other pods, and the same number of another protocol. */
const portsOf: Readonly<Record<string, readonly NamedPort[]>> = {
  a: [
    { name: "http", port: 80, protocol: "TCP" },
    { name: "alt", port: 81, protocol: "TCP" },
    { name: "game", port: 80, protocol: "UDP" },
  ],
  b: [
    { name: "http", port: 81, protocol: "TCP" },
    { name: "alt", port: 80, protocol: "TCP" },
    { name: "dns", port: 53, protocol: "UDP" },
    { name: "dns", port: 53, protocol: "TCP" },
    { name: "signal", port: 80, protocol: "SCTP" },
  ],
  c: [],
};

const nodeLabels = fc.record({
  zone: fc.constantFrom("north", "south"),
  "node-role.kubernetes.io/control-plane": fc.constantFrom("", "yes"),
});

function nodeAt(index: number, labels: Readonly<Record<string, string>>): ClusterNode {
  return { name: `n${index}`, labels, addresses: [`172.18.0.${index + 1}`, `fd00:172:18::${index + 1}`] };
}

interface PodShape {
  readonly namespace: (typeof namespaces)[number];
  readonly app: string;
  readonly tier: string;
  readonly canary: string | undefined;
  readonly serviceAccount: string;
  readonly node: number;
  readonly inAudit: boolean;
}

const podShape: fc.Arbitrary<PodShape> = fc.record({
  namespace: fc.constantFrom(...namespaces),
  app: fc.constantFrom("a", "b", "c"),
  tier: fc.constantFrom("front", "back"),
  canary: fc.option(fc.constantFrom("yes", "no"), { nil: undefined }),
  serviceAccount: fc.constantFrom("default", "robot"),
  node: fc.nat({ max: 1 }),
  inAudit: fc.nat({ max: 11 }).map((one) => one === 11),
});

/** Addresses of two blocks per node, so that some of a node's pods share a narrow prefix. */
function podAt(shape: PodShape, index: number): Pod {
  const { namespace, app, tier, canary, serviceAccount } = shape;
  const node = index === 0 ? 0 : shape.node;
  return {
    namespace,
    name: `p${index}`,
    labels: { app, tier, ...(canary !== undefined && { canary }) },
    serviceAccount,
    node: `n${node}`,
    addresses: [`10.244.${node}.${index + 2}`, `fd00:10:244:${node}::${index + 2}`],
    ports: portsOf[app]!,
    ...(shape.inAudit && { annotations: { "weft.io/policy-audit": "true" } }),
  };
}

/** One by its pods, one by the addresses that somebody wrote for it. */
const services = [
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "x", labels: { exposed: "yes" } },
    spec: { selector: { app: "a" }, clusterIP: "10.96.0.10", ports: [{ port: 80, protocol: "TCP" }] },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "billing", namespace: "y", labels: { exposed: "yes" } },
    spec: { clusterIP: "10.96.0.11", ports: [{ port: 443, protocol: "TCP" }] },
  },
  ...["203.0.113.5", "2001:db8::5"].map((address, index) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `billing-${index}`,
      namespace: "y",
      labels: { "kubernetes.io/service-name": "billing" },
    },
    addressType: address.includes(":") ? "IPv6" : "IPv4",
    endpoints: [{ addresses: [address] }],
    ports: [{ port: 8443, protocol: "TCP" }],
  })),
] as const;

const groups = fc.subarray(
  [
    { name: "partners", labels: { trust: "some" }, externalCIDRs: ["203.0.113.0/24", "2001:db8::/64"] },
    { name: "office", labels: { trust: "full" }, externalCIDRs: ["198.51.100.0/24", "203.0.113.64/26"] },
  ],
  { minLength: 0 },
);

/** Most nodes judge as they do when nobody sets anything. */
const settings: fc.Arbitrary<Settings> = fc.record({
  enforcement: fc.oneof(
    { weight: 10, arbitrary: fc.constant("default" as const) },
    { weight: 3, arbitrary: fc.constant("always" as const) },
    { weight: 1, arbitrary: fc.constant("never" as const) },
  ),
  audit: fc.nat({ max: 15 }).map((one) => one === 15),
  neverLockOut: fc.record(
    {
      apiServerPorts: fc.constantFrom<number[]>([], [443, 6443]),
      apiServerAddress: fc.constantFrom("198.51.100.7", "2001:db8::5"),
      ports: fc.subarray([53, 80]),
      cidrs: fc.subarray(["203.0.113.64/26", "2001:db8::/32", "10.244.0.0/24"]),
    },
    { requiredKeys: ["apiServerPorts", "ports", "cidrs"] },
  ),
});

export const clusters: fc.Arbitrary<Cluster> = fc
  .record({
    nodes: fc.array(nodeLabels, { minLength: 2, maxLength: 3 }),
    spaces: fc.tuple(...namespaces.map(() => spaceLabels())),
    pods: fc.array(podShape, { minLength: 1, maxLength: 7 }),
    apiServers: fc.subarray([...apiServers]),
    groups,
    withServices: fc.boolean(),
    settings,
  })
  .map(({ nodes, spaces, pods, apiServers: servers, groups: present, withServices, settings: set }) => ({
    nodes: nodes.map((labels, index) => nodeAt(index, labels)),
    namespaces: Object.fromEntries(namespaces.map((name, index) => [name, spaces[index]!])),
    pods: pods.map(podAt),
    apiServers: servers,
    referred: [...present.map(groupOf), ...(withServices ? services : [])],
    settings: set,
  }));

function spaceLabels() {
  return fc.record({ team: fc.constantFrom("red", "blue"), env: fc.constantFrom("prod", "dev") });
}

function groupOf({ name, labels, externalCIDRs }: { name: string; labels: object; externalCIDRs: string[] }) {
  const metadata = { name, labels: { ...labels } };
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumCIDRGroup",
    metadata,
    spec: { externalCIDRs },
  } as Manifest;
}

/** Who speaks to whom, by places in the cluster's lists, so that an attempt shrinks on its own. */
export interface AttemptShape {
  /** The node itself speaks, or is spoken to. */
  readonly ofNode: boolean;
  readonly mine: number;
  readonly other: number;
  readonly outgoing: boolean;
  readonly v6: boolean;
  readonly what: Pick<Attempt, "protocol" | "port">;
}

const port = fc.constantFrom(53, 79, 80, 80, 81, 82, 443, 8080, 65535);
const what: fc.Arbitrary<Pick<Attempt, "protocol" | "port">> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ protocol: fc.constant("TCP"), port }) },
  { weight: 2, arbitrary: fc.record({ protocol: fc.constant("UDP"), port }) },
  { weight: 1, arbitrary: fc.record({ protocol: fc.constant("SCTP"), port }) },
  {
    weight: 2,
    arbitrary: fc.record({ protocol: fc.constant("ICMP"), port: fc.constantFrom(8, 128, 3, 13, 1) }),
  },
);

const shape = {
  mine: fc.nat({ max: 20 }),
  other: fc.nat({ max: 60 }),
  outgoing: fc.boolean(),
  v6: fc.boolean(),
  what,
};
/** Of pods. */
export const attemptShapes = fc.record({ ...shape, ofNode: fc.constant(false) });
/** Of the node and of pods. */
export const nodeAttemptShapes = fc.record({ ...shape, ofNode: fc.boolean() });

/** The attempt in this cluster; undefined: a pod or the node to itself, which meets no policy. */
export function attemptIn(
  cluster: Cluster,
  { ofNode, mine, other, outgoing, v6, what: said }: AttemptShape,
): Attempt | undefined {
  const [node] = cluster.nodes;
  const here = cluster.pods.filter((pod) => pod.node === node!.name);
  const one = ofNode ? node! : here[mine % here.length]!;
  const own = one.addresses[v6 ? 1 : 0]!;
  const others = [
    ...cluster.pods.flatMap(({ addresses }) => addresses),
    ...cluster.nodes.flatMap(({ addresses }) => addresses),
    ...cluster.apiServers,
    ...outside,
  ].filter((address) => address.includes(":") === v6);
  const peer = others[other % others.length]!;
  if (peer === own) return undefined;
  return outgoing ? { from: own, to: peer, ...said } : { from: peer, to: own, ...said };
}
