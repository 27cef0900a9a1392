// SPDX-License-Identifier: Apache-2.0
import { BlockList, isIPv6 } from "node:net";

/**
 * What the oracle reads: manifests as people write them, and who has which address. No rule, identity, table or map of the product
 * is in this folder, and nothing of src/ is imported here: `oracle.test.ts` holds it.
 */

export type Bag = Readonly<Record<string, unknown>>;
export type Strings = Readonly<Record<string, string>>;

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Strings;
    readonly annotations?: Strings;
  };
  readonly spec?: Bag;
  readonly specs?: readonly Bag[];
  /** Of an EndpointSlice. */
  readonly endpoints?: readonly { readonly addresses: readonly string[] }[];
}

export interface NamedPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: "TCP" | "UDP" | "SCTP";
}

export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Strings;
  readonly serviceAccount: string;
  readonly node: string;
  readonly addresses: readonly string[];
  readonly ports: readonly NamedPort[];
  readonly annotations?: Strings;
}

export interface ClusterNode {
  readonly name: string;
  readonly labels: Strings;
  readonly addresses: readonly string[];
  /** Absent: the cluster's. */
  readonly settings?: Settings;
}

export interface Cluster {
  /** The first one judges: it is asked about its own pods and itself. */
  readonly nodes: readonly ClusterNode[];
  /** Labels by name. */
  readonly namespaces: Readonly<Record<string, Strings>>;
  readonly pods: readonly Pod[];
  /** Addresses where the API server answers: nodes' or others. */
  readonly apiServers: readonly string[];
  /** What policies refer to: Services, EndpointSlices, CiliumCIDRGroups. */
  readonly referred: readonly Manifest[];
  /** Of nodes without any of their own; absent: as they are when nobody sets anything. */
  readonly settings?: Settings;
}

/** How a node applies policies. */
export interface Settings {
  /** Which pods drop what no rule allows: those that a policy isolates, all, or none. */
  readonly enforcement: "default" | "always" | "never";
  /** What policies deny is told, and goes through. */
  readonly audit: boolean;
  readonly neverLockOut: NeverLockOut;
}

/** What no policy of a node may close. */
export interface NeverLockOut {
  /** TCP: to API servers, and to one on the node. None: all may be closed. */
  readonly apiServerPorts: readonly number[];
  /** Another address of API servers than `apiServers`. */
  readonly apiServerAddress?: string;
  /** TCP ports of the node … */
  readonly ports: readonly number[];
  /** … to these; none: to everyone. */
  readonly cidrs: readonly string[];
}

/** Of the node that judges. */
export function settingsOf({ nodes, settings }: Cluster): Settings {
  return nodes[0]?.settings ?? settings ?? usualSettings;
}

export const usualSettings: Settings = {
  enforcement: "default",
  audit: false,
  neverLockOut: { apiServerPorts: [], ports: [], cidrs: [] },
};

/** Who has an address, as the first node sees it. */
export type Party =
  | { readonly kind: "pod"; readonly address: string; readonly pod: Pod }
  | (AnyAddress & { readonly kind: "host" | "remote-node"; readonly node: ClusterNode })
  | (AnyAddress & { readonly kind: "outside" });

interface AnyAddress {
  readonly address: string;
  /** The API server answers there: beside what else the address is. */
  readonly apiServer: boolean;
}

export function whoHas(cluster: Cluster, address: string): Party {
  const pod = cluster.pods.find(({ addresses }) => addresses.includes(address));
  if (pod) return { kind: "pod", address, pod };
  const index = cluster.nodes.findIndex(({ addresses }) => addresses.includes(address));
  const node = cluster.nodes[index];
  // A node where an API server answers is one at each of its addresses.
  const own = node?.addresses ?? [address];
  const apiServer = own.some((one) => cluster.apiServers.includes(one));
  if (node) return { kind: index === 0 ? "host" : "remote-node", address, node, apiServer };
  return { kind: "outside", address, apiServer };
}

/** Labels of a namespace, the one with its name included that Kubernetes puts on every one. */
export function namespaceLabels(cluster: Cluster, namespace: string): Strings {
  return { ...cluster.namespaces[namespace], "kubernetes.io/metadata.name": namespace };
}

/** Whether the address lies in `cidr` (a lone address is itself) and in none of `except`. */
export function inBlock(address: string, cidr: string, except: readonly string[] = []): boolean {
  return inside(address, cidr) && !except.some((hole) => inside(address, hole));
}

function inside(address: string, cidr: string): boolean {
  const [net = "", bits] = cidr.split("/");
  if (isIPv6(net) !== isIPv6(address)) return false;
  const kind = isIPv6(net) ? "ipv6" : "ipv4";
  const list = new BlockList();
  list.addSubnet(net, Number(bits ?? (kind === "ipv6" ? 128 : 32)), kind);
  return list.check(address, kind);
}
