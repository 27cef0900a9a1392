// SPDX-License-Identifier: Apache-2.0
/** A Kubernetes cluster on this machine: up, down, and what a test does with it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listNetns } from "#kernel/netns.ts";
import { type LabProgress, timedStep } from "#lab/progress.ts";
import { WeftError } from "#lib/errors.ts";
import type { Artifacts } from "../build/artifacts.ts";
import { createCgroups, removeCgroups } from "./cgroups.ts";
import { type CommandOptions, type CommandResult, command, tryCommand } from "./command.ts";
import { apiServerReady, type Component, components, startComponent } from "./control-plane.ts";
import { createNetwork, deleteNamespaces, inNamespace, ip } from "./network.ts";
import { inNode, type NodeSource, nodeRuns, prepareNode, pullNode, startNode, wipeNode } from "./node.ts";
import { writePki } from "./pki.ts";
import { logTail, processId, stopProcess } from "./process.ts";
import { checkRoom } from "./room.ts";
import { addresses, type ClusterOptions, checkOptions, type Layout, layoutOf, nodeNames } from "./shape.ts";
import { listPodCidrs, routesTo, setUpStandIn } from "./stand-in.ts";
import { until } from "./until.ts";

export interface Cluster extends NodeSource {
  readonly nodes: readonly string[];
  /** Runs kubectl as cluster administrator. @throws WeftError E_COMMAND */
  readonly kubectl: (args: readonly string[], options?: CommandOptions) => Promise<string>;
  readonly apply: (manifest: string | object) => Promise<string>;
  /** Runs a program on a node, in all its namespaces. */
  readonly onNode: (
    node: string,
    argv: readonly string[],
    options?: CommandOptions,
  ) => Promise<CommandResult>;
  /** Runs a program on the host outside: on the node network, but no node. */
  readonly outside: (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;
  readonly pull: (node: string) => Promise<void>;
  /** Switches a node that was pulled on again; `wiped`: with an empty disk. */
  readonly start: (node: string, how?: { readonly wiped?: boolean }) => Promise<void>;
  readonly stopComponent: (component: Component, signal?: NodeJS.Signals) => Promise<void>;
  readonly startComponent: (component: Component) => Promise<void>;
}

interface Record_ {
  readonly options: ClusterOptions;
  readonly bin: string;
  readonly seed?: string;
}

/**
 * Starts a cluster. What a crashed one of the same name left behind goes first.
 * @throws WeftError E_CLUSTER_UP when one of that name runs
 */
export async function upCluster(
  options: ClusterOptions,
  artifacts: Artifacts,
  progress?: LabProgress,
): Promise<Cluster> {
  checkOptions(options);
  const layout = layoutOf(options.name);
  if (processId(layout, "etcd") !== undefined || nodeNames(options).some((node) => nodeRuns(layout, node))) {
    throw new WeftError("E_CLUSTER_UP", `cluster ${options.name} is up`, { hint: "take it down first" });
  }
  await downCluster(options.name);
  checkRoom(options.nodes);
  mkdirSync(layout.dir, { recursive: true, mode: 0o755 });
  const record: Record_ = { options, bin: artifacts.bin, seed: artifacts.seed };
  writeFileSync(layout.record, JSON.stringify(record, null, 2));
  const cluster = clusterOf(layout, record);
  const indices = Array.from({ length: options.nodes }, (_, i) => i + 1);
  try {
    await timedStep(progress, "API server", async () => {
      writePki(layout, options);
      createCgroups(layout.cgroup);
      await createNetwork(layout, options);
      startComponent(cluster, "etcd");
      startComponent(cluster, "kube-apiserver");
      await Promise.all([apiServerReady(cluster), ...indices.map((index) => prepareNode(cluster, index))]);
      startComponent(cluster, "kube-controller-manager");
      startComponent(cluster, "kube-scheduler");
    });
    await timedStep(progress, `${options.nodes} nodes`, async () => {
      await Promise.all(indices.map((index) => startNode(cluster, index)));
      await registered(cluster);
      await routeToPods(cluster);
      if (options.cni !== "none") await setUpStandIn(cluster);
    });
  } catch (error) {
    await downCluster(options.name, { keepLogs: true });
    throw error;
  }
  return cluster;
}

/** The cluster of that name as it was started. @throws WeftError E_NO_CLUSTER */
export function openCluster(name: string): Cluster {
  const layout = layoutOf(name);
  if (!existsSync(layout.record) || processId(layout, "etcd") === undefined) {
    if (!existsSync(layout.record) || !components.some((c) => processId(layout, c) !== undefined)) {
      throw new WeftError("E_NO_CLUSTER", `no cluster ${name} runs`, { hint: "start it with: up" });
    }
  }
  return clusterOf(layout, JSON.parse(readFileSync(layout.record, "utf8")) as Record_);
}

/** Names of the clusters there is something of. */
export function listClusters(): string[] {
  const dir = join(layoutOf("x").dir, "..");
  return existsSync(dir) ? readdirSync(dir).filter((name) => existsSync(layoutOf(name).record)) : [];
}

/** Ends everything the cluster has and takes it away, whatever state it is in. */
export async function downCluster(name: string, how: { readonly keepLogs?: boolean } = {}): Promise<void> {
  const layout = layoutOf(name);
  await removeCgroups(layout.cgroup);
  const own = (netns: string) => netns === layout.netns || netns.startsWith(`${layout.netns}-`);
  await deleteNamespaces(listNetns().filter(own));
  if (!existsSync(layout.dir)) return;
  for (const entry of readdirSync(layout.dir)) {
    if (how.keepLogs && entry === "logs") continue;
    rmSync(join(layout.dir, entry), { recursive: true, force: true });
  }
  if (!how.keepLogs) rmSync(layout.dir, { recursive: true, force: true });
}

function clusterOf(layout: Layout, record: Record_): Cluster {
  const { options, bin } = record;
  const source: NodeSource = { layout, options, bin, seed: record.seed };
  const kubectlArgv = (args: readonly string[]) =>
    inNamespace(layout.netns, [join(bin, "kubectl"), `--kubeconfig=${layout.kubeconfig}`, ...args]);
  const kubectl: Cluster["kubectl"] = (args, how) => command(kubectlArgv(args), how);
  const nodes = nodeNames(options);
  const indexOf = (node: string) => {
    if (!nodes.includes(node))
      throw new WeftError("E_NO_NODE", `cluster ${options.name} has no node ${node}`);
    return nodes.indexOf(node) + 1;
  };
  return {
    ...source,
    nodes,
    kubectl,
    apply: (manifest) =>
      kubectl(["apply", "-f", "-"], {
        input: typeof manifest === "string" ? manifest : JSON.stringify(manifest),
      }),
    onNode: async (node, argv, how) => tryCommand(inNode(source, node, argv), how),
    outside: (argv, how) => tryCommand(inNamespace(layout.outsideNetns, argv), how),
    pull: (node) => pullNode(layout, nodes[indexOf(node) - 1]!),
    async start(node, how = {}) {
      if (how.wiped) wipeNode(layout, node);
      await prepareNode(source, indexOf(node));
      await startNode(source, indexOf(node));
    },
    stopComponent: (component, signal) => stopProcess(layout, component, signal),
    async startComponent(component) {
      startComponent(source, component);
      if (processId(layout, "etcd") && processId(layout, "kube-apiserver")) await apiServerReady(source);
    },
  };
}

async function registered(cluster: Cluster): Promise<void> {
  if (cluster.nodes.length === 0) return;
  const podCidr = cluster.options.nodeCidrs ? "{.spec.podCIDR}" : "-";
  await until("all nodes to register", 120_000, async () => {
    for (const node of cluster.nodes) {
      if (nodeRuns(cluster.layout, node)) continue;
      const tail = logTail(cluster.layout, `${node}.init`);
      throw new WeftError("E_CLUSTER_UP", `node ${node} ended\n${tail}`, {
        hint: `see ${cluster.layout.logs}`,
      });
    }
    const path = `jsonpath={range .items[*]}{.metadata.name}=${podCidr} {end}`;
    const rows = (await cluster.kubectl(["get", "nodes", "-o", path])).trim().split(" ");
    return cluster.nodes.every((node) =>
      rows.some((row) => row.startsWith(`${node}=`) && row !== `${node}=`),
    );
  });
}

/**
 * Routes from the API server to the nodes' pods, as the network a real control plane stands in has them: it speaks to
 * webhooks, aggregated APIs and what `kubectl proxy` asks for. Nodes without pod CIDRs are passed over.
 */
export async function routeToPods(cluster: Cluster): Promise<void> {
  for (const { node, podCidrs } of await listPodCidrs(cluster)) {
    await ip(cluster.layout.netns, routesTo(cluster, node, podCidrs));
  }
}

/** Waits until every node is Ready, which takes a CNI configuration on each. */
export async function nodesReady(cluster: Cluster, timeoutMs = 120_000): Promise<void> {
  const args = [
    "wait",
    "--for=condition=Ready",
    "node",
    "--all",
    `--timeout=${Math.round(timeoutMs / 1000)}s`,
  ];
  await cluster.kubectl(args, { timeoutMs: timeoutMs + 10_000 });
}

/** The environment for a program that runs in the cluster's outer namespace and talks to its API server. */
export function clusterEnv(cluster: Cluster): Record<string, string> {
  return {
    KUBECONFIG: cluster.layout.kubeconfig,
    PATH: `${cluster.bin}:${process.env["PATH"]}`,
    WEFT_KUBERNETES_CLUSTER: cluster.options.name,
    WEFT_KUBERNETES_OUTSIDE: addresses.outside.v4,
  };
}
