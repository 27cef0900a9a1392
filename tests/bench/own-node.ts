// SPDX-License-Identifier: Apache-2.0
/** A node of the lab without a kubelet: its agent is ours to start, and pods get there by the CNI plugin alone. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { AgentConfig } from "#agent/config.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { cgroupRoot, createCgroup, joinCgroup } from "#kernel/cgroup.ts";
import { createNetns, deleteNetns, inNetns, netnsPath } from "#kernel/netns.ts";
import { installRoot, nodeArguments } from "#lib/assets.ts";
import type { BenchLab } from "./lab.ts";
import { compileTool } from "./native.ts";

const node = "x1";
const address = "172.30.0.99";
const readyLimitMs = 30_000;

export interface RunningAgent {
  readonly pid: number;
  /** From fork to the CNI configuration being there, which is what a kubelet waits for. */
  readonly readyMs: number;
  readonly startNs: bigint;
  stop(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
}

export interface CniJob {
  readonly container: string;
  readonly pod: number;
}

export interface OwnNode {
  startAgent(): Promise<RunningAgent>;
  /** As on a machine where no agent has run. */
  forget(): void;
  /** Runs the CNI plugin; milliseconds each. @throws Error when one fails */
  cni(command: "ADD" | "DEL", jobs: readonly CniJob[], how: { parallel: number; pauseMs?: number }): number[];
}

/**
 * Makes the node and `pods` pods assigned to it, each with a network namespace. Everything has the lab's name, so it goes with the lab.
 */
export async function makeOwnNode(lab: BenchLab, pods: number, signal: AbortSignal): Promise<OwnNode> {
  const prefix = `weft-${lab.name}-lab`;
  const dir = `/run/${prefix}/${node}`;
  const bpfDir = `/sys/fs/bpf/${prefix}/${node}`;
  wire(prefix);
  await register(lab, signal);
  const uids = await Promise.all(Array.from({ length: pods }, (_, i) => createPod(lab, i, signal)));
  const netns = uids.map((_, i) => createNetns(`${prefix}-x-${i}`));
  mkdirSync(dir, { recursive: true });
  const config: Partial<AgentConfig> = {
    nodeName: node,
    clusterName: "weft-lab",
    kubeconfig: `/run/${prefix}/nodes/n1/kubeconfig`,
    device: "eth0",
    runDir: join(dir, "run"),
    stateDir: join(dir, "state"),
    bpfDir,
    cgroup: createCgroup(`${prefix}/${node}`),
    cniConfDir: join(dir, "cni"),
    cniBinDir: join(dir, "cni-bin"),
    health: { listen: "127.0.0.1:0" },
  };
  writeFileSync(join(dir, "agent.yaml"), stringify(config));
  const conf = join(dir, "conf.json");
  writeFileSync(
    conf,
    JSON.stringify({
      cniVersion: "1.0.0",
      name: "weft",
      type: "weft-cni",
      socket: join(dir, "run/cni.sock"),
    }),
  );
  return {
    startAgent: () => startAgent(prefix, dir),
    forget() {
      for (const path of [bpfDir, join(dir, "run"), join(dir, "state"), join(dir, "cni")])
        rmSync(path, { recursive: true, force: true });
    },
    cni(command, jobs, { parallel, pauseMs = 0 }) {
      const lines = jobs.map(
        ({ container, pod }) => `${container} ${netns[pod]} bench x-${pod} ${uids[pod]}\n`,
      );
      const plugin = join(installRoot(), "build/native/weft-cni");
      const args = [command, String(parallel), String(pauseMs), plugin, conf];
      const rows = execFileSync(compileTool("swarm"), args, {
        input: lines.join(""),
        encoding: "utf8",
        timeout: 120_000,
        stdio: ["pipe", "pipe", "inherit"],
      })
        .trim()
        .split("\n")
        .map((line) => line.split(" ").map(Number));
      const failed = rows.filter(([, code]) => code !== 0).length;
      if (failed > 0) throw new Error(`${failed} of ${jobs.length} CNI ${command} failed`);
      return rows.map(([us]) => us! / 1000);
    },
  };
}

function wire(prefix: string): void {
  const name = `${prefix}-${node}`;
  deleteNetns(name);
  createNetns(name);
  const ip = (...args: string[]) => execFileSync("ip", args, { stdio: ["ignore", "ignore", "inherit"] });
  ip("link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", node, "netns", `${prefix}-world`);
  ip("-n", `${prefix}-world`, "link", "set", node, "up", "master", "fabric");
  ip("-n", name, "link", "set", "lo", "up");
  ip("-n", name, "addr", "add", `${address}/24`, "dev", "eth0");
  ip("-n", name, "link", "set", "eth0", "up");
  ip("-n", name, "route", "add", "default", "via", "172.30.0.1");
}

async function register({ client }: BenchLab, signal: AbortSignal): Promise<void> {
  const object = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: node, labels: { "kubernetes.io/hostname": node } },
    spec: { podCIDR: "10.244.99.0/24", podCIDRs: ["10.244.99.0/24"], unschedulable: true },
  };
  await client.create(resources.nodes, object, { signal });
  const body = { status: { addresses: [{ type: "InternalIP", address }] } };
  await client.patch(
    resources.nodes,
    { name: node },
    { type: "merge", body },
    { subresource: "status", signal },
  );
}

async function createPod({ client }: BenchLab, index: number, signal: AbortSignal): Promise<string> {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `x-${index}`, namespace: "bench", labels: { app: `x-${index % 10}` } },
    spec: { nodeName: node, containers: [{ name: "idle", image: "bench" }] },
  };
  const made = await client.create<KubeObject>(resources.pods, pod, { signal });
  return (made.metadata as { readonly uid?: string } | undefined)?.uid ?? "";
}

async function startAgent(prefix: string, dir: string): Promise<RunningAgent> {
  const cniDir = join(dir, "cni");
  const conf = join(cniDir, "05-weft.conflist");
  mkdirSync(cniDir, { recursive: true });
  rmSync(conf, { force: true });
  const log = openSync(join(dir, "agent.log"), "a");
  // The bundle, though this process runs from source.
  const argv = [...nodeArguments("agent", "dist/agent.mjs"), "--config", join(dir, "agent.yaml")];
  const startNs = process.hrtime.bigint();
  const child = inNetns(netnsPath(`${prefix}-${node}`), () =>
    spawn(process.execPath, argv, { stdio: ["ignore", log, log], detached: true }),
  );
  closeSync(log);
  joinCgroup(createCgroup(`${prefix}/${node}/agent`, cgroupRoot()), child.pid!);
  await appears(conf, cniDir, child);
  const readyMs = Number(process.hrtime.bigint() - startNs) / 1e6;
  return {
    pid: child.pid!,
    readyMs,
    startNs,
    async stop(signal = "SIGTERM") {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      await once(child, "exit");
    },
  };
}

async function appears(file: string, dir: string, child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = () => existsSync(file) && resolve();
  const watcher = watch(dir, look);
  const timer = setTimeout(() => reject(new Error(`agent not ready after ${readyLimitMs} ms`)), readyLimitMs);
  const onExit = (code: number | null) => reject(new Error(`agent ended with ${code}`));
  child.once("exit", onExit);
  try {
    look();
    await promise;
  } finally {
    watcher.close();
    clearTimeout(timer);
    child.off("exit", onExit);
  }
}

/** Resident set in MB (10^6 bytes). */
export function rssMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024) / 1e6;
}

/** CPU time of a process and its threads so far, in units of 10 ms. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Memory of all BPF maps a process has open, MB; a map open twice counts once. */
export function mapMemoryMb(pid: number): number {
  const maps = new Map<string, number>();
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    let text = "";
    try {
      text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8");
    } catch {
      // Closed meanwhile.
    }
    const id = /^map_id:\s+(\d+)$/m.exec(text)?.[1];
    if (id) maps.set(id, Number(/^memlock:\s+(\d+)$/m.exec(text)?.[1]));
  }
  return [...maps.values()].reduce((sum, bytes) => sum + bytes, 0) / 1e6;
}
