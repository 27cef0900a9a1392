// SPDX-License-Identifier: Apache-2.0
import type { Address, Prefix } from "#model/ip.ts";
import { labelText } from "#model/labels.ts";
import type { Node } from "#nodes/node.ts";
import type { Database, WritableTable } from "#store/table.ts";

/** All nodes of the cluster, our own too. Key: the name. `kube-nodes`: as Kubernetes has them, before their pod CIDRs are known for sure. */
export function nodeTable(db: Database, name: "nodes" | "kube-nodes" = "nodes"): WritableTable<Node> {
  return db.table<Node>({
    name,
    key: (row) => row.name,
    indexes: { address: (row) => row.addresses },
    equal: (a, b) => nodeText(a) === nodeText(b),
    columns: [
      { name: "NAME", of: (row) => row.name },
      { name: "SELF", of: (row) => row.self },
      { name: "ADDRESSES", of: (row) => row.addresses.join(",") },
      { name: "POD-CIDRS", of: (row) => row.podCidrs.join(",") },
      { name: "LABELS", of: (row) => labelText(row.labels), wide: true },
    ],
  });
}

function nodeText(node: Node): string {
  const { name, uid, self, addresses, externalAddresses = [], podCidrs, labels, leaving, notReady } = node;
  return [
    name,
    uid,
    self,
    addresses.join(),
    externalAddresses.join(),
    podCidrs.join(),
    leaving,
    notReady,
    labelText(labels),
  ].join("|");
}

/** Where an API server of the cluster answers: the endpoints of default/kubernetes. */
export interface ApiServer {
  readonly address: Address;
}

export function apiServerTable(db: Database): WritableTable<ApiServer> {
  return db.table<ApiServer>({
    name: "api-servers",
    key: (row) => row.address,
    equal: () => true,
    columns: [{ name: "ADDRESS", of: (row) => row.address }],
  });
}

/** A label that policies ask of nodes: intent. */
export interface NodeLabelKey {
  /** With source: `k8s:topology.kubernetes.io/zone`. */
  readonly key: string;
}

export function nodeLabelKeyTable(db: Database): WritableTable<NodeLabelKey> {
  return db.table<NodeLabelKey>({
    name: "node-label-keys",
    key: (row) => row.key,
    equal: () => true,
    columns: [{ name: "KEY", of: (row) => row.key }],
  });
}

/** A desired route: to another node's pods, or to the pods of our own that there are not. */
export interface NodeRoute {
  readonly dst: Prefix;
  readonly node: string;
  /** Encapsulate: through the tunnel device to this node, with this number as VNI. */
  readonly encap?: { readonly id: number; readonly dst: Address };
  /** No encapsulation: by way of this node, which is a neighbour. */
  readonly gateway?: Address;
  /** What the node's own packets carry as source. */
  readonly src?: Address;
  /** Leads nowhere: who asks for it is told so. */
  readonly unreachable?: true;
}

export function routeTable(db: Database): WritableTable<NodeRoute> {
  return db.table<NodeRoute>({
    name: "routes",
    key: (row) => row.dst,
    equal: (a, b) => routeText(a) === routeText(b),
    columns: [
      { name: "DESTINATION", of: (row) => row.dst },
      { name: "NODE", of: (row) => row.node },
      { name: "TUNNEL", of: (row) => row.encap?.dst ?? "" },
      { name: "VIA", of: (row) => (row.unreachable ? "unreachable" : (row.gateway ?? "")) },
      { name: "SOURCE", of: (row) => row.src ?? "" },
    ],
  });
}

function routeText(route: NodeRoute): string {
  const { dst, node, encap, gateway, src, unreachable } = route;
  return [dst, node, encap?.id, encap?.dst, gateway, src, unreachable].join("|");
}

/** What nodes say to the ipcache; the same shape as the identities' own row. */
export interface NodeClaim {
  readonly prefix: Prefix;
  readonly identity: number;
  readonly tunnel?: Address;
  /** `host` (this node) or `node` (another one). */
  readonly source: string;
}
