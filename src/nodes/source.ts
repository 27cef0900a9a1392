// SPDX-License-Identifier: Apache-2.0
import type { V1EndpointSlice, V1Node } from "@kubernetes/client-node";
import type { KubeClient } from "#k8s/client.ts";
import { reflect } from "#k8s/reflect.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type Address, type Prefix, parseAddress, parsePrefix } from "#model/ip.ts";
import { type CiliumNode, type CiliumNodeObject, ciliumNodeRow } from "#nodes/cilium-node.ts";
import type { Node } from "#nodes/node.ts";
import type { IpamMode } from "#nodes/publish.ts";
import type { ApiServer } from "#nodes/table.ts";
import type { Database, WritableTable } from "#store/table.ts";

export interface NodeSourceDeps {
  readonly client: KubeClient;
  readonly db: Database;
  /** As Kubernetes has them. */
  readonly kubeNodes: WritableTable<Node>;
  readonly ciliumNodes: WritableTable<CiliumNode>;
  /** With their pod CIDRs, wherever these come from. */
  readonly nodes: WritableTable<Node>;
  /** kubernetes: pod CIDRs are the Nodes' own; cluster-pool: the CiliumNodes'. */
  readonly ipam: IpamMode;
  readonly apiServers: WritableTable<ApiServer>;
  /** Name of the Node that is us. */
  readonly nodeName: string;
  readonly health: Health;
  readonly log: Logger;
}

/** Follows Nodes and CiliumNodes (of the latter, where pod CIDRs do not come from them, only our own), and the endpoints of default/kubernetes. */
export function startNodeSource(deps: NodeSourceDeps, signal: AbortSignal): AsyncDisposable {
  const { client, db, health, log, nodeName } = deps;
  const common = { client, db, health, log, signal };
  const stack = new AsyncDisposableStack();
  stack.use(
    reflect<V1Node & KubeObject, Node>({
      ...common,
      resource: resources.nodes,
      table: deps.kubeNodes,
      toRow: (object) => toNode(object, nodeName),
    }),
  );
  stack.use(
    reflect<CiliumNodeObject, CiliumNode>({
      ...common,
      resource: resources.ciliumNodes,
      ...(deps.ipam === "kubernetes" && { fieldSelector: `metadata.name=${nodeName}` }),
      table: deps.ciliumNodes,
      toRow: ciliumNodeRow,
    }),
  );
  stack.use(joinNodes(deps));
  stack.use(
    reflect<V1EndpointSlice & KubeObject, ApiServer>({
      ...common,
      resource: resources.endpointSlices,
      namespace: "default",
      labelSelector: "kubernetes.io/service-name=kubernetes",
      source: "api-servers",
      table: deps.apiServers,
      toRow: toApiServers,
    }),
  );
  return stack;
}

/** Keeps `nodes` equal to Kubernetes' nodes with the pod CIDRs that count. Runs inside the commits that bring the news. */
export function joinNodes({
  db,
  kubeNodes,
  ciliumNodes,
  nodes,
  ipam,
}: Pick<NodeSourceDeps, "db" | "kubeNodes" | "ciliumNodes" | "nodes" | "ipam">): Disposable {
  const pooled = ipam === "cluster-pool";
  const update = (names: Iterable<string>) =>
    db.write((tx) => {
      for (const name of names) {
        const node = kubeNodes.get(name);
        if (!node) tx.delete(nodes, name);
        else tx.put(nodes, pooled ? { ...node, podCidrs: ciliumNodes.get(name)?.podCidrs ?? [] } : node);
      }
    });
  const source = nodes.source("nodes");
  update([...kubeNodes.all()].map((node) => node.name));
  void Promise.all([kubeNodes.ready, pooled && ciliumNodes.ready]).then(() => source.synced());
  const stops = [kubeNodes.onCommit(update), ...(pooled ? [ciliumNodes.onCommit(update)] : [])];
  return {
    [Symbol.dispose]: () => {
      for (const stop of stops) stop();
    },
  };
}

/** @throws WeftError E_NODE for a name, an address or a pod CIDR that is none */
export function toNode(object: V1Node & KubeObject, nodeName: string): Node {
  const name = object.metadata?.name;
  if (!name) throw new WeftError("E_NODE", "a Node has no name");
  const ofType = (wanted: string): Address[] => {
    const found = (object.status?.addresses ?? []).filter(({ type }) => type === wanted);
    return [
      ...new Set(found.map(({ address }) => parse(name, "status.addresses", () => parseAddress(address)))),
    ];
  };
  const externalAddresses = ofType("ExternalIP");
  const cidrs = object.spec?.podCIDRs ?? (object.spec?.podCIDR ? [object.spec.podCIDR] : []);
  const podCidrs: Prefix[] = cidrs.map((cidr) => parse(name, "spec.podCIDRs", () => parsePrefix(cidr)));
  const labels = new Map(
    Object.entries(object.metadata?.labels ?? {}).map(([key, value]) => [`k8s:${key}`, value]),
  );
  const uid = (object.metadata as { uid?: string } | undefined)?.uid;
  return {
    name,
    ...(uid !== undefined && { uid }),
    self: name === nodeName,
    addresses: ofType("InternalIP"),
    ...(externalAddresses.length > 0 && { externalAddresses }),
    podCidrs: [...new Set(podCidrs)],
    ...(isLeaving(object) && { leaving: true }),
    ...(isNotReady(object) && { notReady: true }),
    labels,
  };
}

function isLeaving({ metadata, spec }: V1Node & KubeObject): boolean {
  const taints = spec?.taints ?? [];
  return (
    metadata?.deletionTimestamp !== undefined ||
    taints.some(({ key }) => key === "ToBeDeletedByClusterAutoscaler")
  );
}

/** A node that has said nothing of itself yet may be ready. */
function isNotReady({ status }: V1Node & KubeObject): boolean {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  return ready !== undefined && ready.status !== "True";
}

/** Addresses of those that are ready; a slice of names is of no use here. */
export function toApiServers(object: V1EndpointSlice & KubeObject): ApiServer[] {
  if (object.addressType === "FQDN") return [];
  const ready = object.endpoints?.filter((endpoint) => endpoint.conditions?.ready !== false) ?? [];
  return ready.flatMap((endpoint) => endpoint.addresses.map((text) => ({ address: parseAddress(text) })));
}

function parse<T>(node: string, field: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new WeftError("E_NODE", `Node ${node}: ${field}`, { cause });
  }
}
