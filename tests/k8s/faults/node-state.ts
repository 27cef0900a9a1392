// SPDX-License-Identifier: Apache-2.0
/** What a node holds of Weft: kernel state, and everything that could be left behind. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
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

/** While an agent is away it is no backend of the Services in front of the agents: their entries do change, and so does their revision. */
const OWN_SERVICE_WRITES = 4;
const servicesOwn = (map: string) => map.startsWith("lb_") || map === "revisions";

/**
 * Elements of maps the agent of a node has written since it started, which are those that changed. The constants and variables of
 * its programs are new with every load.
 */
export async function mapWrites(cluster: Cluster, node: string): Promise<string[]> {
  const { stdout } = await cluster.onNode(node, ["curl", "-s", "-m", "5", "http://127.0.0.1:9962/metrics"]);
  assert.match(stdout, /weft_health/);
  const writes = [
    ...stdout.matchAll(/^weft_map_writes_total\{map="([^"]+)",operation="(\w+)"\} (\d+)$/gm),
  ].map(([, map = "", operation = "", count]) => ({ map, operation, count: Number(count) }));
  return writes
    .filter(({ map, count }) => !map.startsWith(".") && count > (servicesOwn(map) ? OWN_SERVICE_WRITES : 0))
    .map(({ map, operation, count }) => `${map}: ${count} ${operation}s`);
}

/** Counts that have to agree: each is one a pod of the node. */
export interface NodeCounts {
  readonly pods: number;
  readonly devices: number;
  readonly endpointFiles: number;
  readonly endpointElements: number;
  /** Of `endpoints_by_addr`, for each IP family. */
  readonly addressElements: number;
  /** Addresses in the files, for each IP family. */
  readonly addresses: number;
  /** Routes of the node to its pods, for each IP family. */
  readonly routes: number;
  /** CiliumEndpoints that say they are on the node. */
  readonly endpointObjects: number;
  /** Network namespaces the runtime keeps for pods. */
  readonly namespaces: number;
  /** Pinned links by which what pods send meets its program; made when no pod has come or gone for a moment. */
  readonly podLinks: number;
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
  using byAddress = BpfMap.openPinned(join(root, "sys/fs/bpf/weft/maps/endpoints_by_addr"));
  const families = cluster.options.families === "dual" ? 2 : 1;
  const files = endpointFilesOf(root);
  return {
    pods: items.filter(
      ({ spec, status }) => !spec.hostNetwork && ["Running", "Pending"].includes(status.phase),
    ).length,
    devices: links.split("\n").filter((line) => /^\d+: weft[^_]/.test(line)).length,
    endpointFiles: files.length,
    endpointElements: [...byIndex.keys()].length,
    addressElements: [...byAddress.keys()].length / families,
    addresses: new Set(files.flatMap(({ ips }) => ips)).size / families,
    routes: (await podRoutes(cluster, node)) / families,
    endpointObjects: await endpointObjects(cluster, node),
    namespaces: readdirSync(join(root, "run/netns")).filter((name) => name.startsWith("cni-")).length,
    podLinks: allPinsOf(cluster, node).filter(isOfPod).length,
  };
}

/** The addresses of each pod an agent has written down. */
function endpointFilesOf(root: string): { readonly ips: readonly string[] }[] {
  const dir = join(root, "var/lib/weft/endpoints");
  return readdirSync(dir)
    .filter((name) => name.endsWith(".json"))
    .map((name) => {
      const { v4, v6 } = JSON.parse(readFileSync(join(dir, name), "utf8")) as { v4?: string; v6?: string };
      return { ips: [v4, v6].filter((ip) => ip !== undefined) };
    });
}

async function podRoutes(cluster: Cluster, node: string): Promise<number> {
  const lists = ["-4", "-6"].map((family) => cluster.onNode(node, ["ip", family, "route", "show"]));
  const toPods = /^[0-9a-f.:]+ dev weft[^_]/;
  return (await Promise.all(lists))
    .flatMap(({ stdout }) => stdout.split("\n"))
    .filter((line) => toPods.test(line)).length;
}

async function endpointObjects(cluster: Cluster, node: string): Promise<number> {
  const read = (args: readonly string[]) => cluster.kubectl(["get", ...args]);
  const path = "jsonpath={.status.addresses[?(@.type=='InternalIP')].address}";
  const addresses = (await read(["node", node, "-o", path])).split(" ");
  const nodes = await read([
    "ciliumendpoints.cilium.io",
    "-A",
    "-o",
    "jsonpath={range .items[*]}{.status.networking.node} {end}",
  ]);
  return nodes.split(" ").filter((one) => addresses.includes(one)).length;
}

function allPinsOf(cluster: Cluster, node: string): string[] {
  const dir = join(nodeRoot(cluster, node), "sys/fs/bpf/weft");
  return readdirSync(dir, { recursive: true, encoding: "utf8" }).sort();
}

/** Named after the pod's device. */
const isOfPod = (pin: string) => pin.startsWith("links/pod_");

/** Names of what an agent pins, whatever pods the node has. */
function pinsOf(cluster: Cluster, node: string): string[] {
  return allPinsOf(cluster, node).filter((pin) => !isOfPod(pin));
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
  const [first = [], ...others] = cluster.nodes.map((node) => pinsOf(cluster, node));
  for (const pins of others) assert.deepEqual(pins, first, "nodes pin the same");
}

/** What exists once a cluster: objects that may not pile up. */
export interface ClusterObjects {
  readonly identities: readonly string[];
  /** Of these, what endpoints have: the others go some time after the last that had them. */
  readonly usedIdentities: readonly string[];
  readonly nodes: readonly string[];
  readonly podCidrs: readonly string[];
  readonly endpoints: readonly string[];
}

export async function clusterObjects(cluster: Cluster): Promise<ClusterObjects> {
  const names = async (resource: string, path = "{range .items[*]}{.metadata.name} {end}") =>
    (await cluster.kubectl(["get", resource, "-A", "-o", `jsonpath=${path}`]))
      .trim()
      .split(" ")
      .filter(Boolean)
      .sort();
  const identities = await names("ciliumidentities.cilium.io");
  const used = new Set(
    await names("ciliumendpoints.cilium.io", "{range .items[*]}{.status.identity.id} {end}"),
  );
  return {
    identities,
    usedIdentities: identities.filter((id) => used.has(id)),
    nodes: await names("ciliumnodes.cilium.io"),
    podCidrs: await names("ciliumnodes.cilium.io", "{range .items[*]}{.spec.ipam.podCIDRs[*]} {end}"),
    endpoints: await names("ciliumendpoints.cilium.io"),
  };
}

/** Nothing came that was not there, and of what is in use nothing went. */
export function assertSameObjects(now: ClusterObjects, before: ClusterObjects): void {
  const { identities, ...rest } = now;
  const { identities: known, ...expected } = before;
  assert.deepEqual(rest, expected);
  assert.deepEqual(
    identities.filter((id) => !known.includes(id)),
    [],
    "no new identity",
  );
}
