// SPDX-License-Identifier: Apache-2.0
/** One node: namespaces and cgroups of its own around containerd and kubelet ("kind without docker"). */
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { netnsPath } from "#kernel/netns.ts";
import { WeftError } from "#lib/errors.ts";
import { createCgroups, joinCgroup2, removeCgroups } from "./cgroups.ts";
import { command } from "./command.ts";
import type { ControlPlane } from "./control-plane.ts";
import { createHost, deleteHost, sysctl } from "./network.ts";
import { writeNodeConfig } from "./node-config.ts";
import { processId, startProcess, stopProcess } from "./process.ts";
import { type Layout, nodeAddress, nodeLabels } from "./shape.ts";
import { until } from "./until.ts";

export interface NodeSource extends ControlPlane {
  /** A containerd root with the images imported; undefined: none. */
  readonly seed: string | undefined;
}

const processName = (node: string) => `${node}.init`;

/** Prepares what can be before the API server runs: the node's directories, with the images in its containerd. */
export async function prepareNode(source: NodeSource, index: number): Promise<void> {
  const dir = source.layout.nodeDir(`n${index}`);
  writeNodeConfig(source.layout, source.options, index);
  linkPlugins(join(dir, "opt/cni/bin"));
  const root = join(dir, "var-lib/containerd");
  if (source.seed && !existsSync(root)) {
    // Layers are read-only lower directories, so hard links do; the databases are written to.
    await command(["cp", "-al", source.seed, root]);
    await command(["find", root, "-name", "*.db", "-exec", "cp", "{}", "{}.own", ";"]);
    await command(["find", root, "-name", "*.db", "-exec", "mv", "{}.own", "{}", ";"]);
  }
  mkdirSync(join(dir, "images"), { recursive: true });
  for (const archive of source.options.images) linkImage(archive, join(dir, "images", basename(archive)));
}

function linkPlugins(dir: string): void {
  mkdirSync(dir, { recursive: true });
  // Every node of a real cluster has these from its distribution.
  for (const name of ["loopback", "bridge", "host-local", "portmap"]) {
    if (!existsSync(join(dir, name))) symlinkSync(join("/usr/lib/cni", name), join(dir, name));
  }
}

function linkImage(archive: string, path: string): void {
  if (existsSync(path)) return;
  try {
    linkSync(archive, path);
  } catch {
    symlinkSync(archive, path);
  }
}

/** Switches node `index` on: a new one, or one that was pulled, with what it had on its disk. */
export async function startNode(source: NodeSource, index: number): Promise<void> {
  const { layout, options, bin } = source;
  const node = `n${index}`;
  if (processId(layout, processName(node)) !== undefined) return;
  const dir = layout.nodeDir(node);
  const netns = layout.nodeNetns(node);
  const ip = nodeAddress(index);
  await deleteHost(layout, netns, node);
  await createHost(layout, options, netns, { port: node, ...ip });
  const settings = [
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv4.conf.all.rp_filter=0",
  ];
  await sysctl(netns, settings);
  if (options.cni === "bridge") {
    const bridged = ["iptables", "ip6tables"].map((table) => `net.bridge.bridge-nf-call-${table}=1`);
    await sysctl(netns, bridged);
  }
  const cgroup = `${layout.cgroup}/${node}`;
  createCgroups(cgroup);
  const ips = options.families === "dual" ? `${ip.v4},${ip.v6}` : ip.v4;
  const kubeconfig = join(layout.pki, `${node}.conf`);
  const here = import.meta.dirname;
  const own = [dir, bin, layout.logs, node, ips, options.proxy, kubeconfig, nodeLabels(options, index)];
  const init = [join(here, "node-init.sh"), ...own];
  startProcess(layout, processName(node), [join(here, "node-start.sh"), netnsPath(netns), cgroup, ...init]);
  await until(`node ${node} to have its namespaces`, 10_000, () => firstProcess(layout, node) !== undefined);
}

/** Pulls the plug of a node: every process in it ends at once, its disk stays. */
export async function pullNode(layout: Layout, node: string): Promise<void> {
  await stopProcess(layout, processName(node));
  await removeCgroups(`${layout.cgroup}/${node}`);
  await deleteHost(layout, layout.nodeNetns(node), node);
}

export function nodeRuns(layout: Layout, node: string): boolean {
  return firstProcess(layout, node) !== undefined;
}

/** The node's first process as the machine sees it; undefined while the node is off. */
export function firstProcess(layout: Layout, node: string): number | undefined {
  const parent = processId(layout, processName(node));
  if (parent === undefined) return undefined;
  // Before it is unshare the children are node-start.sh's own.
  if (readFileSync(`/proc/${parent}/comm`, "utf8").trim() !== "unshare") return undefined;
  const [child] = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim().split(" ");
  return child ? Number(child) : undefined;
}

/**
 * An argument list that runs `argv` in all namespaces and in the cgroup of a node, as a login on it would.
 * @throws WeftError E_NODE_DOWN
 */
export function inNode(
  source: Pick<NodeSource, "layout" | "bin">,
  node: string,
  argv: readonly string[],
): string[] {
  const pid = firstProcess(source.layout, node);
  if (pid === undefined) throw new WeftError("E_NODE_DOWN", `node ${node} does not run`);
  const path = `PATH=${source.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  const enter = [
    "nsenter",
    "-t",
    String(pid),
    "-m",
    "-u",
    "-i",
    "-n",
    "-p",
    "-C",
    "--",
    "env",
    path,
    ...argv,
  ];
  return joinCgroup2(`${source.layout.cgroup}/${node}`, enter);
}

/** Forgets what a node had on its disk, so that it starts as a new machine. It must be off. */
export function wipeNode(layout: Layout, node: string): void {
  rmSync(layout.nodeDir(node), { recursive: true, force: true });
  mkdirSync(dirname(layout.nodeDir(node)), { recursive: true });
}
