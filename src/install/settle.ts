// SPDX-License-Identifier: Apache-2.0
import { parse } from "yaml";
import type { KubeClient } from "#k8s/client.ts";
import type { KubeObject } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import type { Chart } from "./chart.ts";
import { completeValues } from "./chart.ts";
import { type ClusterFacts, getOptional } from "./cluster.ts";
import { installKinds } from "./kinds.ts";
import { mergeValues, type Tree, treeOf, valueAt } from "./values-merge.ts";

export interface Settled {
  /** The given values and what the cluster adds where they say nothing. */
  readonly values: Tree;
  /** What works but not as one may think, one sentence each. */
  readonly warnings: readonly string[];
}

/**
 * Fills in what the cluster tells (the API server's address, families) and holds the values against it.
 * @throws WeftError E_VALUES for what contradicts the cluster, E_PREFLIGHT for a cluster that cannot run Weft
 */
export async function settleValues(
  client: KubeClient,
  chart: Chart,
  {
    given,
    facts,
    signal,
  }: { readonly given: Tree; readonly facts: ClusterFacts; readonly signal: AbortSignal },
): Promise<Settled> {
  const warnings: string[] = [];
  let values = given;
  const fill = (path: readonly string[], value: unknown) => {
    if (valueAt(values, path) === undefined) values = mergeValues(values, treeOf(path, value));
  };
  if (valueAt(values, ["apiServer", "host"]) === undefined) {
    const address = await apiServerFor(client, facts, { warnings, signal });
    if (address) values = mergeValues(values, { apiServer: { ...address } });
  }
  if (facts.families) fill(["config", "families"], facts.families);
  checkNodes(facts, completeValues(chart, values));
  for (const rival of facts.rivals)
    warnings.push(
      `DaemonSet ${rival} does what Weft does; take it away, or both will work on the same packets`,
    );
  return { values, warnings };
}

/** With several API servers the address that nodes join by is a better one: it outlives each of them. */
async function apiServerFor(
  client: KubeClient,
  facts: ClusterFacts,
  { warnings, signal }: { readonly warnings: string[]; readonly signal: AbortSignal },
): Promise<ClusterFacts["apiServers"][number] | undefined> {
  const [first, ...others] = facts.apiServers.toSorted((a, b) => (a.host < b.host ? -1 : 1));
  if (!first) {
    warnings.push("EndpointSlice default/kubernetes names no API server; set apiServer.host");
    return undefined;
  }
  if (others.length === 0) return first;
  const joined = await joinAddress(client, signal);
  if (joined) return joined;
  warnings.push(
    `there are ${others.length + 1} API servers and ${first.host} is used by all nodes; set apiServer.host to an address that stands for all`,
  );
  return first;
}

interface ClusterInfo extends KubeObject {
  readonly data?: { readonly kubeconfig?: string };
}

/** What kubeadm publishes for nodes that join. */
async function joinAddress(
  client: KubeClient,
  signal: AbortSignal,
): Promise<{ host: string; port: number } | undefined> {
  const info = await getOptional<ClusterInfo>(
    client,
    installKinds.ConfigMap,
    { namespace: "kube-public", name: "cluster-info" },
    signal,
  );
  const config = parse(info?.data?.kubeconfig ?? "") as { readonly clusters?: unknown } | null;
  const clusters = config?.clusters;
  const server = Array.isArray(clusters) ? valueAt(clusters[0] as Tree, ["cluster", "server"]) : undefined;
  if (typeof server !== "string" || !URL.canParse(server)) return undefined;
  const url = new URL(server);
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || 443) };
}

/** tcx, the newest thing the datapath needs. */
const leastKernel = [6, 6] as const;

function checkNodes(facts: ClusterFacts, values: Tree): void {
  const linux = facts.nodes.filter((node) => node.os === "linux");
  const old = linux.filter(({ kernel }) => kernel !== "" && !isNewEnough(kernel));
  if (old.length > 0) {
    const names = old.map(({ name, kernel }) => `${name} (${kernel})`).join(", ");
    throw new WeftError(
      "E_PREFLIGHT",
      `the kernel of ${names} is too old: Weft needs ${leastKernel.join(".")}`,
      {
        hint: "update the nodes, or keep Weft off them with agent.nodeSelector",
      },
    );
  }
  if (valueAt(values, ["config", "ipam"]) !== "kubernetes") return;
  const without = linux.filter((node) => node.podCidrs.length === 0).map((node) => node.name);
  if (without.length > 0)
    throw new WeftError(
      "E_PREFLIGHT",
      `Node ${without.join(", ")} has no podCIDR and config.ipam is "kubernetes"`,
      {
        hint: "set config.ipam=cluster-pool, or start kube-controller-manager with --allocate-node-cidrs",
      },
    );
  const wanted = valueAt(values, ["config", "families"]);
  if (facts.families && facts.families !== "dual" && wanted !== facts.families)
    throw new WeftError(
      "E_VALUES",
      `config.families: is "${String(wanted)}", but the nodes' pod CIDRs are ${facts.families}`,
      {
        hint: "the cluster itself has to be dual-stack: --cluster-cidr and --service-cluster-ip-range of both families",
      },
    );
}

function isNewEnough(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  return major > leastKernel[0] || (major === leastKernel[0] && minor >= leastKernel[1]);
}
