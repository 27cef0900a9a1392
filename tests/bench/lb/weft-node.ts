// SPDX-License-Identifier: Apache-2.0
/** A node of the lab that an agent of Weft serves, by traffic control or at XDP. */
import { execFileSync } from "node:child_process";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { AgentConfig } from "#agent/config.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { createCgroup } from "#kernel/cgroup.ts";
import { inNetns } from "#kernel/netns.ts";
import { writeSysctl } from "#kernel/sysctl.ts";
import type { BenchLab } from "../lab.ts";
import type { Outside } from "../node-place.ts";
import { makeOwnNode, type OwnNode, type RunningAgent } from "../own-node.ts";
import { cpuSeconds } from "../usage.ts";
import { metric, metricsOf, type Programmed, untilProgrammed } from "./daemon.ts";
import { type PodRole, podRoles } from "./proxy-node.ts";
import { leastFrontends } from "./services.ts";

const metricsPort = 9962;
const limitMs = 5 * 60_000;

export interface WeftNodeOptions {
  readonly name: string;
  readonly index: number;
  /** With the pods that traffic runs between. */
  readonly pods?: true;
  readonly config?: Partial<AgentConfig>;
  readonly signal: AbortSignal;
}

export interface WeftNode {
  readonly netns: string;
  readonly outside: Outside;
  /** Network namespaces of its pods, as paths, and their addresses; none where none were asked for. */
  readonly pods: Readonly<Partial<Record<PodRole, { readonly netns: string; readonly address: string }>>>;
  /** cgroup2 directory of the node's pods. */
  readonly podCgroup: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Resolves when the node serves so many services. */
  has(services: number): Promise<void>;
  /** On a node where no agent has run: starts one; resolves when it serves so many services. */
  fill(services: number): Promise<Programmed>;
  /** Bytes of the running agent's heap that are in use: the least of some seconds, so without most of the garbage. */
  heapMb(): Promise<number>;
  agentPid(): number;
}

export async function makeWeftNode(lab: BenchLab, options: WeftNodeOptions): Promise<WeftNode> {
  const { name, index, signal } = options;
  const config: Partial<AgentConfig> = { routing: "native", ...options.config };
  const pods = options.pods ? podRoles.length : 0;
  const node = await makeOwnNode(lab, { name, index, pods, outside: true, config, signal });
  const prefix = `weft-${lab.name}-lab`;
  const frontends = join("/sys/fs/bpf", prefix, name, "maps/lb_frontends");
  let agent: RunningAgent | undefined;
  const running = () => {
    if (!agent) throw new Error(`no agent runs on ${name}`);
    return agent;
  };
  const stop = async () => {
    await agent?.stop();
    agent = undefined;
  };
  const served = () => {
    using map = BpfMap.openPinned(frontends);
    return [...map.entries()].length;
  };
  const start = async () => {
    agent = await node.startAgent();
  };
  if (options.pods) await start();
  return {
    netns: node.netns,
    outside: node.outside!,
    pods: options.pods ? attachPods(node) : {},
    podCgroup: createCgroup(`${prefix}/${name}/bench`),
    start,
    stop,
    agentPid: () => running().pid,
    async has(services) {
      const untilMs = performance.now() + limitMs;
      while (served() < leastFrontends(services)) {
        if (performance.now() > untilMs) throw new Error(`${name} does not get all services (${node.log})`);
        await delay(100, undefined, { signal });
      }
    },
    async fill(services) {
      await stop();
      node.forget();
      agent = await node.startAgent();
      const { child, readyMs } = agent;
      const isDone = () => Promise.resolve(served() >= leastFrontends(services));
      const cpuSec = () => cpuSeconds(child.pid!);
      const filled = await untilProgrammed({
        child,
        what: `agent ${name} (${node.log})`,
        limitMs,
        signal,
        cpuSec,
        isDone,
      });
      return { ...filled, wallSec: filled.wallSec + readyMs / 1000 };
    },
    heapMb: () => leastHeapMb(node, signal),
  };
}

function attachPods(node: OwnNode): WeftNode["pods"] {
  const jobs = podRoles.map((_, pod) => ({ container: `bench-${process.pid}-${node.netns}-${pod}`, pod }));
  node.cni("ADD", jobs, { parallel: 1 });
  const pods = podRoles.map((role, i) => {
    const netns = node.podNetns[i]!;
    // A loop of short connections reuses its ports within the minute they would rest, as in the references' namespaces.
    inNetns(netns, () => writeSysctl("net.ipv4.tcp_tw_reuse", "1"));
    return [role, { netns, address: addressIn(netns) }] as const;
  });
  return Object.fromEntries(pods);
}

function addressIn(netns: string): string {
  const args = ["-j", "-4", "-n", basename(netns), "addr", "show", "dev", "eth0"];
  const shown = JSON.parse(execFileSync("ip", args, { encoding: "utf8" })) as {
    readonly addr_info: readonly { readonly local: string }[];
  }[];
  const address = shown[0]?.addr_info[0]?.local;
  if (!address) throw new Error(`${netns} has no address`);
  return address;
}

/** The agent gives the memory of its start back 10 s after it. */
const heapLookMs = 14_000;

async function leastHeapMb(node: OwnNode, signal: AbortSignal): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (const untilMs = performance.now() + heapLookMs; performance.now() < untilMs; ) {
    const page = await metricsOf(node.netns, metricsPort);
    const bytes = metric(page ?? "", "nodejs_heap_size_used_bytes");
    if (bytes !== undefined) least = Math.min(least, bytes);
    await delay(1000, undefined, { signal });
  }
  return least / 1e6;
}
