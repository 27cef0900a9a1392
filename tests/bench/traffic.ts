// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Figure, figure, shuffled } from "./stats.ts";

const run = promisify(execFile);

export const modes = ["tcp_rr", "tcp_crr", "udp_rr", "stream"] as const;
export type Mode = (typeof modes)[number];

/** Two ends and what is between them. */
export interface Path {
  readonly name: string;
  readonly serverNetns: string;
  readonly clientNetns: string;
  readonly listen: string;
  /** The server listens on so many ports from that of `listen` on, as several endpoints would; default 1. */
  readonly ports?: number;
  /** Where the client connects when it is not where the server listens (a service). */
  readonly connect?: string;
  readonly clientCgroup?: string;
  readonly serverCgroup?: string;
}

export interface Window {
  /** Operations (stream: bytes) per second. */
  readonly rate: number;
  /** CPU nanoseconds of both ends per operation (stream: per byte). */
  readonly cpuNs: number;
}

/** Short, so that the scheduler's limit for real-time tasks does not cut in. */
const windowMs = 80;

/** One window of traffic, both ends on one core under SCHED_FIFO. */
export async function measure(nb: string, path: Path, mode: Mode, ms = windowMs): Promise<Window> {
  const args = [
    "--mode",
    mode,
    "--server",
    path.serverNetns,
    "--client",
    path.clientNetns,
    "--listen",
    path.listen,
  ];
  if (path.ports) args.push("--ports", String(path.ports));
  if (path.connect) args.push("--connect", path.connect);
  if (path.clientCgroup) args.push("--client-cgroup", path.clientCgroup);
  if (path.serverCgroup) args.push("--server-cgroup", path.serverCgroup);
  const { stdout } = await run(nb, [...args, "--ms", String(ms), "--core", "1", "--fifo"], {
    timeout: 20_000,
  });
  const { ops, wallNs, cpuNs } = JSON.parse(stdout) as { ops: number; wallNs: number; cpuNs: number };
  return { rate: (ops / wallNs) * 1e9, cpuNs: cpuNs / ops };
}

export interface Comparison {
  readonly path: Path;
  readonly base: Path;
}

export interface CompareOptions {
  readonly rounds: number;
  readonly modes: readonly Mode[];
  readonly signal: AbortSignal;
  progress(text: string): void;
}

/**
 * Interleaved rounds: in each, every path runs every mode once, in random order. Figures are ratios of a path to its base within the
 * same round, CPU per operation first (the steady one on a noisy machine).
 */
export async function compare(
  nb: string,
  pairs: readonly Comparison[],
  options: CompareOptions,
): Promise<Figure[]> {
  const paths = [...new Set(pairs.flatMap((pair) => [pair.path, pair.base]))];
  const seen = new Map<string, Window[]>();
  for (let round = 0; round < options.rounds; round++) {
    for (const mode of options.modes) {
      for (const path of shuffled(paths)) {
        options.signal.throwIfAborted();
        const key = `${path.name} ${mode}`;
        const list = seen.get(key) ?? [];
        seen.set(key, list);
        list[round] = await measure(nb, path, mode);
      }
    }
    options.progress(`round ${round + 1} of ${options.rounds}`);
  }
  return pairs.flatMap(({ path, base }) =>
    options.modes.flatMap((mode) => {
      const a = seen.get(`${path.name} ${mode}`)!;
      const b = seen.get(`${base.name} ${mode}`)!;
      const ratio = (of: (w: Window) => number) => a.map((w, i) => of(w) / of(b[i]!));
      return [
        figure(
          `${path.name}: ${mode} CPU per operation`,
          "ratio",
          ratio((w) => w.cpuNs),
          base.name,
        ),
        figure(
          `${path.name}: ${mode} rate`,
          "ratio",
          ratio((w) => w.rate),
          base.name,
        ),
      ];
    }),
  );
}
