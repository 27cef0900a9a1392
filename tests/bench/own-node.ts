// SPDX-License-Identifier: Apache-2.0
/** A node of the lab without a kubelet: its agent is ours to start, and pods get there by the CNI plugin alone. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, openSync, rmSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { AgentConfig } from "#agent/config.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { cgroupRoot, createCgroup, joinCgroup } from "#kernel/cgroup.ts";
import { createNetns, inNetns, netnsPath } from "#kernel/netns.ts";
import { installRoot, nodeArguments } from "#lib/assets.ts";
import type { BenchLab } from "./lab.ts";
import { compileTool } from "./native.ts";
import {
  addOutside,
  fabricAddress,
  netnsName,
  type Outside,
  type Place,
  plug,
  register,
  routeByFabric,
} from "./node-place.ts";

const readyLimitMs = 30_000;

export interface OwnNodeOptions {
  readonly signal: AbortSignal;
  /** Pods assigned to it. */
  readonly pods: number;
  /** Default `x1`. */
  readonly name?: string;
  /** Last byte of its address in the fabric, and of its pods' network 10.244.N.0/24. Default 99. */
  readonly index?: number;
  /** With a device of its own for the world outside, which the agent serves in place of `eth0`. */
  readonly outside?: true;
  /** Over the bench's own settings. */
  readonly config?: Partial<AgentConfig>;
}

export interface RunningAgent {
  readonly pid: number;
  readonly child: ChildProcess;
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
  /** Name of its network namespace. */
  readonly netns: string;
  /** Those of its pods, as paths. */
  readonly podNetns: readonly string[];
  /** cgroup2 directory of the node. */
  readonly cgroup: string;
  readonly outside?: Outside;
  /** File with what its agents say. */
  readonly log: string;
}

/** Makes the node and its pods, each with a network namespace. Everything has the lab's name, so it goes with the lab. */
export async function makeOwnNode(lab: BenchLab, options: OwnNodeOptions): Promise<OwnNode> {
  const { name: node = "x1", index = 99, signal } = options;
  const prefix = `weft-${lab.name}-lab`;
  const place: Place = { prefix, node, index };
  const dir = `/run/${prefix}/${node}`;
  const bpfDir = `/sys/fs/bpf/${prefix}/${node}`;
  plug(place);
  const outside = options.outside ? addOutside(place) : undefined;
  if (!outside) routeByFabric(place);
  await register(lab, { place, address: outside?.address ?? fabricAddress(index), signal });
  const uids = await Promise.all(
    Array.from({ length: options.pods }, (_, i) => createPod(lab, { place, pod: i, signal })),
  );
  const netns = uids.map((_, i) => createNetns(`${prefix}-${node}-${i}`));
  mkdirSync(dir, { recursive: true });
  const cgroup = createCgroup(`${prefix}/${node}`);
  const config: Partial<AgentConfig> = {
    nodeName: node,
    clusterName: "weft-lab",
    kubeconfig: `/run/${prefix}/nodes/n1/kubeconfig`,
    device: outside?.device ?? "eth0",
    runDir: join(dir, "run"),
    stateDir: join(dir, "state"),
    bpfDir,
    cgroup,
    cniConfDir: join(dir, "cni"),
    cniBinDir: join(dir, "cni-bin"),
    health: { listen: "127.0.0.1:0" },
    ...options.config,
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
    netns: netnsName(place),
    ...(outside && { outside }),
    podNetns: netns,
    cgroup,
    log: join(dir, "agent.log"),
    startAgent: () => startAgent(place, dir),
    forget() {
      for (const path of [bpfDir, join(dir, "run"), join(dir, "state"), join(dir, "cni")])
        rmSync(path, { recursive: true, force: true });
    },
    cni(command, jobs, { parallel, pauseMs = 0 }) {
      const lines = jobs.map(
        ({ container, pod }) => `${container} ${netns[pod]} bench ${podName(place, pod)} ${uids[pod]}\n`,
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

// Of one letter where there is but one such node: that is what the figures of a hundred pods were made with.
const podName = ({ node }: Place, pod: number) => `${node === "x1" ? "x" : node}-${pod}`;

interface PodOptions {
  readonly place: Place;
  readonly pod: number;
  readonly signal: AbortSignal;
}

async function createPod({ client }: BenchLab, { place, pod: index, signal }: PodOptions): Promise<string> {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: podName(place, index), namespace: "bench", labels: { app: `x-${index % 10}` } },
    spec: { nodeName: place.node, containers: [{ name: "idle", image: "bench" }] },
  };
  const made = await client.create<KubeObject>(resources.pods, pod, { signal });
  return (made.metadata as { readonly uid?: string } | undefined)?.uid ?? "";
}

async function startAgent(place: Place, dir: string): Promise<RunningAgent> {
  const cniDir = join(dir, "cni");
  const conf = join(cniDir, "05-weft.conflist");
  mkdirSync(cniDir, { recursive: true });
  rmSync(conf, { force: true });
  const log = openSync(join(dir, "agent.log"), "a");
  // The bundle, though this process runs from source.
  const argv = [...nodeArguments("agent", "dist/agent.mjs"), "--config", join(dir, "agent.yaml")];
  const startNs = process.hrtime.bigint();
  const child = inNetns(netnsPath(netnsName(place)), () =>
    spawn(process.execPath, argv, { stdio: ["ignore", log, log], detached: true }),
  );
  closeSync(log);
  joinCgroup(createCgroup(`${place.prefix}/${place.node}/agent`, cgroupRoot()), child.pid!);
  await appears(conf, cniDir, child);
  const readyMs = Number(process.hrtime.bigint() - startNs) / 1e6;
  return {
    pid: child.pid!,
    child,
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
