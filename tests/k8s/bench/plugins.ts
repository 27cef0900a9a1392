// SPDX-License-Identifier: Apache-2.0
/** How long the runtime's CNI plugins take, each timed from the outside in its place. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import type { Cluster } from "../cluster/cluster.ts";

const root = join(import.meta.dirname, "../../..");
const plugins = ["weft-cni", "bridge", "portmap"];

/** Puts the clock in front of the plugins a node has, until the agent or somebody else puts its plugin there again. */
export function timePlugins(cluster: Cluster, node: string): void {
  mkdirSync(join(root, "build/k8s"), { recursive: true });
  const timed = join(root, "build/k8s/timed");
  const flags = ["-O2", "-static", "-s", "-Wall", "-Wextra", "-Werror", "-o", timed];
  execFileSync(process.env["CC"] ?? "clang-19", [...flags, join(import.meta.dirname, "timed.c")]);
  const dir = join(cluster.layout.nodeDir(node), "opt/cni/bin");
  for (const name of readdirSync(dir).filter((entry) => plugins.includes(entry))) {
    const path = join(dir, name);
    if (existsSync(`${path}.real`)) continue;
    // Plugins of the distribution are links.
    const target = realpathSync(path);
    if (target === path) renameSync(path, `${path}.real`);
    else symlinkSync(target, `${path}.real`);
    copyFileSync(timed, `${path}.new`);
    chmodSync(`${path}.new`, 0o755);
    renameSync(`${path}.new`, path);
  }
}

/** Milliseconds of each ADD that succeeded since the last call: of a pod all plugins of the chain together. */
export async function addTimes(cluster: Cluster, node: string): Promise<number[]> {
  const { stdout } = await cluster.onNode(node, [
    "sh",
    "-c",
    "mv /run/cni-times /run/cni-times.read 2>/dev/null && cat /run/cni-times.read",
  ]);
  const byContainer = new Map<string, number>();
  for (const line of stdout.trim().split("\n")) {
    const [command, id = "", , us, code] = line.split(" ");
    if (command === "ADD" && code === "0")
      byContainer.set(id, (byContainer.get(id) ?? 0) + Number(us) / 1_000);
  }
  return [...byContainer.values()];
}
