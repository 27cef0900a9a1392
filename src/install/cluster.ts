// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { type Family, family, parseAddress } from "#model/ip.ts";
import { installKinds } from "./kinds.ts";

/** What an installation has to know of a cluster. */
export interface ClusterFacts {
  /** Addresses behind the Service `kubernetes`; several in a cluster with several control planes. */
  readonly apiServers: readonly { readonly host: string; readonly port: number }[];
  readonly nodes: readonly NodeFacts[];
  /** Families of the Service `kubernetes`' cluster and of the nodes' pod CIDRs; undefined when no node tells. */
  readonly families: "v4" | "v6" | "dual" | undefined;
  /** DaemonSets that do what Weft does. */
  readonly rivals: readonly string[];
}

export interface NodeFacts {
  readonly name: string;
  readonly kernel: string;
  readonly os: string;
  readonly podCidrs: readonly string[];
}

interface NodeObject extends KubeObject {
  readonly spec?: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] };
  readonly status?: {
    readonly nodeInfo?: { readonly kernelVersion?: string; readonly operatingSystem?: string };
  };
}

interface SliceObject extends KubeObject {
  readonly endpoints?: readonly { readonly addresses?: readonly string[] }[] | null;
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[] | null;
}

const serviceLabel = "kubernetes.io/service-name";

/** @throws KubeError when the API server refuses to tell */
export async function clusterFacts(client: KubeClient, signal: AbortSignal): Promise<ClusterFacts> {
  const [slices, nodes, sets] = await Promise.all([
    client.list<SliceObject>(resources.endpointSlices, {
      namespace: "default",
      labelSelector: `${serviceLabel}=kubernetes`,
      signal,
    }),
    client.list<NodeObject>(resources.nodes, { signal }),
    client.list<KubeObject>(installKinds.DaemonSet, { signal }),
  ]);
  const facts = nodes.items.map(nodeFacts);
  return {
    apiServers: apiServersOf(slices.items),
    nodes: facts,
    families: familiesOf(facts.flatMap((node) => node.podCidrs)),
    rivals: sets.items.flatMap((set) => {
      const { name = "", namespace = "" } = set.metadata ?? {};
      return rivals.has(name) ? [`${namespace}/${name}`] : [];
    }),
  };
}

const rivals = new Set([
  "kube-proxy",
  "kube-flannel-ds",
  "kube-flannel",
  "calico-node",
  "cilium",
  "antrea-agent",
  "kindnet",
  "weave-net",
  "kube-router",
  "aws-node",
]);

function apiServersOf(slices: readonly SliceObject[]): ClusterFacts["apiServers"] {
  return slices.flatMap((slice) => {
    const port = (slice.ports ?? []).find((one) => one.name === "https" || slice.ports?.length === 1)?.port;
    if (port === undefined) return [];
    return (slice.endpoints ?? []).flatMap(({ addresses }) =>
      (addresses ?? []).slice(0, 1).map((host) => ({ host, port })),
    );
  });
}

function nodeFacts(node: NodeObject): NodeFacts {
  const { podCIDRs, podCIDR } = node.spec ?? {};
  return {
    name: String(node.metadata?.name),
    kernel: node.status?.nodeInfo?.kernelVersion ?? "",
    os: node.status?.nodeInfo?.operatingSystem ?? "linux",
    podCidrs: podCIDRs ?? (podCIDR ? [podCIDR] : []),
  };
}

function familiesOf(podCidrs: readonly string[]): ClusterFacts["families"] {
  const found = new Set<Family>(podCidrs.map((cidr) => family(parseAddress(cidr.split("/")[0]!))));
  if (found.size === 2) return "dual";
  return found.has(4) ? "v4" : found.has(6) ? "v6" : undefined;
}

/** Gets an object, or undefined when there is none. */
export async function getOptional<T extends KubeObject>(
  client: KubeClient,
  ...[resource, ref, signal]: Parameters<KubeClient["get"]>
): Promise<T | undefined> {
  try {
    return await client.get<T>(resource, ref, signal);
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
}
