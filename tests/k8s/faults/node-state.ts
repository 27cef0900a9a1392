// SPDX-License-Identifier: Apache-2.0
/** What a node holds of Weft: kernel state, and everything that could be left behind. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { BpfMap } from "#kernel/bpf/map.ts";
import { type KernelState, kernelStateIn } from "#kit/lab-kernel.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { firstProcess } from "../cluster/node.ts";
import { until } from "../cluster/until.ts";

/** A node's files as seen from the machine. */
export function nodeRoot(cluster: Cluster, node: string): string {
  const pid = firstProcess(cluster.layout, node);
  assert.ok(pid, `node ${node} runs`);
  return `/proc/${pid}/root`;
}

export function kernelStateOf(cluster: Cluster, node: string): KernelState {
  return kernelStateIn(join(nodeRoot(cluster, node), "sys/fs/bpf/weft"));
}

/** While an agent is away it is no backend of the Services in front of the agents: their entries do change. */
const OWN_SERVICE_WRITES = 4;

/**
 * Elements of maps the agent of a node has written since it started, which are those that changed. The constants of its programs are new
 * with every load.
 */
export async function mapWrites(cluster: Cluster, node: string): Promise<string[]> {
  const { stdout } = await cluster.onNode(node, ["curl", "-s", "-m", "5", "http://127.0.0.1:9962/metrics"]);
  assert.match(stdout, /weft_health/);
  const writes = [
    ...stdout.matchAll(/^weft_map_writes_total\{map="([^"]+)",operation="(\w+)"\} (\d+)$/gm),
  ].map(([, map = "", operation = "", count]) => ({ map, operation, count: Number(count) }));
  return writes
    .filter(({ map, count }) => map !== ".rodata" && count > (map.startsWith("lb_") ? OWN_SERVICE_WRITES : 0))
    .map(({ map, operation, count }) => `${map}: ${count} ${operation}s`);
}

/** Counts that have to agree: each is one a pod of the node. */
export interface NodeCounts {
  readonly pods: number;
  readonly devices: number;
  readonly endpointFiles: number;
  readonly endpointElements: number;
  /** Network namespaces the runtime keeps for pods. */
  readonly namespaces: number;
}

interface PodList {
  readonly items: readonly {
    readonly spec: { readonly hostNetwork?: boolean };
    readonly status: { readonly phase: string };
  }[];
}

export async function nodeCounts(cluster: Cluster, node: string): Promise<NodeCounts> {
  const args = ["get", "pods", "-A", "--field-selector", `spec.nodeName=${node}`, "-o", "json"];
  const { items } = JSON.parse(await cluster.kubectl(args)) as PodList;
  const root = nodeRoot(cluster, node);
  const { stdout: links } = await cluster.onNode(node, ["ip", "-o", "link", "show", "type", "veth"]);
  using byIndex = BpfMap.openPinned(join(root, "sys/fs/bpf/weft/maps/endpoints_by_ifindex"));
  return {
    pods: items.filter(
      ({ spec, status }) => !spec.hostNetwork && ["Running", "Pending"].includes(status.phase),
    ).length,
    devices: links.split("\n").filter((line) => /^\d+: weft[^_]/.test(line)).length,
    endpointFiles: readdirSync(join(root, "var/lib/weft/endpoints")).filter((name) => name.endsWith(".json"))
      .length,
    endpointElements: [...byIndex.keys()].length,
    namespaces: readdirSync(join(root, "run/netns")).filter((name) => name.startsWith("cni-")).length,
  };
}

/** Waits until a node holds of every pod exactly what it should: nothing is left of those that went. @throws with the counts */
export async function nothingLeaks(cluster: Cluster, timeoutMs = 60_000): Promise<void> {
  for (const node of cluster.nodes) {
    let last: NodeCounts | undefined;
    try {
      await until(`${node} to hold what its pods need`, timeoutMs, async () => {
        last = await nodeCounts(cluster, node);
        const { pods, ...rest } = last;
        return Object.values(rest).every((count) => count === pods);
      });
    } catch (error) {
      throw new Error(`${node}: ${JSON.stringify(last)}`, { cause: error });
    }
  }
}

/** What exists once a cluster: objects that may not pile up. */
export async function clusterObjects(cluster: Cluster): Promise<Record<string, string[]>> {
  const names = async (resource: string, path = "{range .items[*]}{.metadata.name} {end}") =>
    (await cluster.kubectl(["get", resource, "-A", "-o", `jsonpath=${path}`]))
      .trim()
      .split(" ")
      .filter(Boolean)
      .sort();
  return {
    identities: await names("ciliumidentities.cilium.io"),
    nodes: await names("ciliumnodes.cilium.io"),
    podCidrs: await names("ciliumnodes.cilium.io", "{range .items[*]}{.spec.ipam.podCIDRs[*]} {end}"),
    endpoints: await names("ciliumendpoints.cilium.io"),
  };
}
