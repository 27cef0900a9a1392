// SPDX-License-Identifier: Apache-2.0
/** What agents and kube-proxies have in common for who watches them: metrics, CPU time, an end. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { netnsPath } from "#kernel/netns.ts";
import { connectFrom } from "#lab/stand-in/calls.ts";
import { parseAddress } from "#model/ip.ts";

/** From the start of a daemon on an empty node until it has written all services and rests. */
export interface Programmed {
  /** CPU time of the daemon with its threads and children. */
  readonly cpuSec: number;
  /** Until all was written. */
  readonly wallSec: number;
}

/** A page of metrics from loopback inside a network namespace; undefined while nobody answers. */
export async function metricsOf(netns: string, port: number): Promise<string | undefined> {
  try {
    const to = { address: parseAddress("127.0.0.1"), port, timeoutMs: 2_000 };
    const socket = await connectFrom(netnsPath(netns), to);
    return await new Promise<string>((resolve, reject) => {
      const headers = { connection: "close" };
      const signal = AbortSignal.timeout(5_000);
      const outgoing = request(
        { createConnection: () => socket, path: "/metrics", headers, signal },
        (answer) => {
          let body = "";
          answer.setEncoding("utf8");
          answer.on("data", (chunk: string) => (body += chunk));
          answer.once("end", () => resolve(body));
          answer.once("error", reject);
        },
      );
      outgoing.once("error", reject);
      outgoing.end();
    });
  } catch {
    return undefined;
  }
}

/** The sum of a metric's samples; undefined when the page has none of it. */
export function metric(page: string, name: string): number | undefined {
  const values = page.split("\n").flatMap((line) => {
    if (!line.startsWith(name) || !" {".includes(line[name.length] ?? "x")) return [];
    return [Number(line.slice(line.lastIndexOf(" ") + 1))];
  });
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

export interface WaitOptions {
  readonly child: ChildProcess;
  /** As in messages. */
  readonly what: string;
  readonly limitMs: number;
  readonly signal: AbortSignal;
  /** What `cpuSec` said before the start. Default 0. */
  readonly startSec?: number;
  /** CPU seconds of the daemon and its children so far. */
  cpuSec(): number;
  isDone(): Promise<boolean>;
}

const pollMs = 100;
/** Less CPU time than this in a second is rest. */
const restSec = 0.05;

/** Waits until a daemon that was just started has done all there is to do, and rests. @throws Error when it ends or takes longer */
export async function untilProgrammed(options: WaitOptions): Promise<Programmed> {
  const { child, what, limitMs, signal } = options;
  const [startMs, startSec] = [performance.now(), options.startSec ?? 0];
  const cpu = () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${what} ended`);
    if (performance.now() - startMs > limitMs)
      throw new Error(`${what} is not done after ${limitMs / 1000} s`);
    return options.cpuSec() - startSec;
  };
  cpu();
  while (!(await options.isDone())) {
    await delay(pollMs, undefined, { signal });
    cpu();
  }
  const wallSec = (performance.now() - startMs) / 1000;
  for (let before = cpu(); ; ) {
    await delay(1000, undefined, { signal });
    const now = cpu();
    if (now - before < restSec) return { cpuSec: now, wallSec };
    before = now;
  }
}

export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGCONT");
  child.kill("SIGTERM");
  const hurry = setTimeout(() => child.kill("SIGKILL"), 10_000);
  await ended;
  clearTimeout(hurry);
}
