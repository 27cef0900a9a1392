// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from "node:timers/promises";
import { type Figure, figure } from "../../bench/stats.ts";
import type { Cluster } from "../cluster/cluster.ts";

/** What a process has used so far. */
export interface Usage {
  readonly cpuMs: number;
  readonly rssMb: number;
}

/** A program whose use of the machine is told: by what its command line has, on the nodes where it may run. */
export interface Watched {
  readonly name: string;
  /** A pattern that does not match itself: whoever asks has it in its command line. */
  readonly pattern: string;
  readonly nodes: "first" | "any";
}

const restSec = 20;

/** Of each program that is found, by name. */
export async function usages(
  cluster: Cluster,
  watched: readonly Watched[],
): Promise<ReadonlyMap<string, Usage>> {
  const found = new Map<string, Usage>();
  for (const { name, pattern, nodes } of watched) {
    for (const node of nodes === "any" ? cluster.nodes : cluster.nodes.slice(0, 1)) {
      const use = await usageOn(cluster, node, pattern);
      if (use) found.set(name, use);
    }
  }
  return found;
}

async function usageOn(cluster: Cluster, node: string, pattern: string): Promise<Usage | undefined> {
  const script = `pid=$(pgrep -o -f "$1") && cat /proc/$pid/stat && grep VmRSS /proc/$pid/status`;
  const { code, stdout } = await cluster.onNode(node, ["sh", "-c", script, "usage", pattern]);
  if (code !== 0) return undefined;
  // Behind the name in brackets: utime and stime are the 12th and 13th words, in ticks of 10 ms.
  const words = stdout.slice(stdout.lastIndexOf(")") + 2).split(" ");
  const rss = /VmRSS:\s+(\d+) kB/.exec(stdout)?.[1];
  return { cpuMs: (Number(words[11]) + Number(words[12])) * 10, rssMb: Number(rss) / 1024 };
}

/** Memory now, and processor time over a while in which nothing changes. */
export async function atRest(cluster: Cluster, watched: readonly Watched[], when: string): Promise<Figure[]> {
  const before = await usages(cluster, watched);
  const startMs = performance.now();
  await delay(restSec * 1_000);
  const after = await usages(cluster, watched);
  const tookMs = performance.now() - startMs;
  return [...after].flatMap(([name, { rssMb, cpuMs }]) => [
    figure(`${name}, ${when}: RSS`, "MB", [rssMb]),
    figure(`${name}, ${when}: CPU when idle`, "% of a core", [
      (100 * (cpuMs - (before.get(name)?.cpuMs ?? 0))) / tookMs,
    ]),
  ]);
}

/** Processor time between two looks, for each of so many pods. */
export function perPod(
  before: ReadonlyMap<string, Usage>,
  after: ReadonlyMap<string, Usage>,
  { pods, when }: { readonly pods: number; readonly when: string },
): Figure[] {
  return [...after].map(([name, { cpuMs }]) =>
    figure(`${name}: CPU for each pod, ${when}`, "ms", [(cpuMs - (before.get(name)?.cpuMs ?? 0)) / pods]),
  );
}
