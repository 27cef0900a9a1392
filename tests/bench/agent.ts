// SPDX-License-Identifier: Apache-2.0
/** One agent by itself: start, memory, idle CPU; pods by its CNI plugin. */
import { setTimeout as delay } from "node:timers/promises";
import type { BenchContext, BenchPart } from "./context.ts";
import { startLab } from "./lab.ts";
import { type CniJob, makeOwnNode, type OwnNode, type RunningAgent } from "./own-node.ts";
import { type Figure, figure, latency } from "./stats.ts";
import { cpuSeconds, mapMemoryMb, rssMb } from "./usage.ts";

const defaultRounds = 5;
const manyPods = 100;
const atOnce = 40;
const aloneEach = 20;
const idleMs = 30_000;
/** Until what came before is over: the memory of the start is given back 10 s after it, V8 collects garbage up to half a minute after a burst. */
const restMs = 35_000;

let containers = 0;

/** New containers for the first `count` pods. */
function jobs(count: number): CniJob[] {
  return Array.from({ length: count }, (_, pod) => ({
    container: `bench-${process.pid}-${containers++}`,
    pod,
  }));
}

/** Attaches pods, takes the times, detaches them. */
function attachOnce(node: OwnNode, count: number, how: { parallel: number; pauseMs?: number }): number[] {
  const list = jobs(count);
  const ms = node.cni("ADD", list, how);
  node.cni("DEL", list, { parallel: 8 });
  return ms;
}

async function starts(node: OwnNode, rounds: number): Promise<Figure[]> {
  const [ready, able, cpu]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    node.forget();
    const agent = await node.startAgent();
    ready.push(agent.readyMs);
    cpu.push(cpuSeconds(agent.pid) * 1000);
    const list = jobs(1);
    node.cni("ADD", list, { parallel: 1 });
    able.push(Number(process.hrtime.bigint() - agent.startNs) / 1e6);
    node.cni("DEL", list, { parallel: 1 });
    await agent.stop();
  }
  return [
    figure("agent, new node: exec to ready", "ms", ready),
    figure("agent, new node: exec to first pod attached", "ms", able),
    figure("agent, new node: CPU time until ready", "ms", cpu),
  ];
}

/** CPU as a share of one core, and memory, after some rest. */
async function idle(
  name: string,
  agent: RunningAgent,
  options: { ms: number; signal: AbortSignal },
): Promise<Figure[]> {
  await delay(restMs, undefined, { signal: options.signal });
  const [cpu, startMs] = [cpuSeconds(agent.pid), performance.now()];
  const rss: number[] = [];
  for (let i = 0; i < 5; i++) {
    await delay(options.ms / 5, undefined, { signal: options.signal });
    rss.push(rssMb(agent.pid));
  }
  const share = ((cpuSeconds(agent.pid) - cpu) / (performance.now() - startMs)) * 1e5;
  return [
    figure(`agent, ${name}: CPU when idle`, "% of a core", [share]),
    figure(`agent, ${name}: RSS`, "MB", rss),
  ];
}

function cniFigures(node: OwnNode, agent: RunningAgent, rounds: number): Figure[] {
  const [alone, together, cpu]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    alone.push(...attachOnce(node, aloneEach, { parallel: 1, pauseMs: 20 }));
    const list = jobs(atOnce);
    const before = cpuSeconds(agent.pid);
    together.push(...node.cni("ADD", list, { parallel: atOnce }));
    cpu.push(((cpuSeconds(agent.pid) - before) * 1000) / atOnce);
    node.cni("DEL", list, { parallel: 8 });
  }
  const name = `CNI ADD, ${atOnce} at once`;
  return [
    ...latency("CNI ADD alone", alone),
    ...latency(name, together),
    figure(`${name}: CPU of the agent for each`, "ms", cpu),
  ];
}

async function restarts(node: OwnNode, agent: RunningAgent, rounds: number): Promise<[Figure, RunningAgent]> {
  const ready: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await agent.stop("SIGKILL");
    agent = await node.startAgent();
    ready.push(agent.readyMs);
  }
  return [figure(`agent, after kill -9 with ${manyPods} pods: exec to ready`, "ms", ready), agent];
}

export const agent: BenchPart = {
  name: "agent",
  what: "agent start, memory, idle CPU, map memory; CNI ADD alone, together and in a row",
  async run(context: BenchContext) {
    const { signal, progress } = context;
    const rounds = context.rounds ?? defaultRounds;
    progress("lab");
    await using lab = await startLab({ ...context, routing: "tunnel" });
    const node = await makeOwnNode(lab, { pods: manyPods, signal });
    progress(`${rounds} starts`);
    const figures = await starts(node, rounds);
    signal.throwIfAborted();
    let running = await node.startAgent();
    progress("idle");
    figures.push(...(await idle("no pods", running, { ms: idleMs, signal })));
    progress("CNI");
    figures.push(...cniFigures(node, running, rounds));
    signal.throwIfAborted();
    const startMs = performance.now();
    figures.push(
      ...latency(`CNI ADD, ${manyPods} in a row`, node.cni("ADD", jobs(manyPods), { parallel: 1 })),
    );
    figures.push(figure(`CNI ADD, ${manyPods} in a row: all`, "ms", [performance.now() - startMs]));
    progress(`idle with ${manyPods} pods`);
    figures.push(...(await idle(`${manyPods} pods`, running, { ms: idleMs / 2, signal })));
    figures.push(
      figure(`BPF maps of a node with ${manyPods} pods, default sizes`, "MB", [mapMemoryMb(running.pid)]),
    );
    progress("restarts");
    const [restart, last] = await restarts(node, running, Math.min(rounds, 5));
    running = last;
    await running.stop();
    return [...figures, restart];
  },
};
