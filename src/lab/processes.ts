// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, statSync, truncateSync } from "node:fs";
import { createCgroup, joinCgroup } from "#kernel/cgroup.ts";
import { inNetns } from "#kernel/netns.ts";
import { backoffMs } from "#lib/backoff.ts";
import type { Logger } from "#lib/log.ts";

export interface NodeProcess {
  /** `n1/agent`: for messages. */
  readonly name: string;
  readonly argv: readonly string[];
  /** Path of the namespace it runs in. */
  readonly netns: string;
  /** cgroup2 directory. */
  readonly cgroup: string;
  readonly logFile: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Supervised extends AsyncDisposable {
  /** 0 while it is down. */
  readonly pid: number;
  /** Times it was started again. */
  readonly restarts: number;
}

const STOP_MS = 5_000;
/** A log longer than this begins anew. */
const LOG_LIMIT = 16 << 20;
const LOG_CHECK_MS = 30_000;

/**
 * Starts a process in a node's namespace and cgroup and starts it again when it ends, 100 ms to 5 s later. Its stdin
 * is a pipe that ends with this process. Disposing sends SIGTERM, after 5 s SIGKILL.
 */
export function superviseProcess(spec: NodeProcess, deps: { log: Logger }): Supervised {
  createCgroup(spec.cgroup, "/");
  let child: ChildProcess | undefined;
  let [restarts, failures, stopped] = [0, 0, false];
  let timer: NodeJS.Timeout | undefined;
  let exited: Promise<void> = Promise.resolve();
  const start = () => {
    const startMs = Date.now();
    const running = spawnOne(spec);
    child = running;
    exited = new Promise((resolve) => {
      running.once("error", () => resolve());
      running.once("exit", (code, signal) => {
        resolve();
        child = undefined;
        if (stopped) return;
        failures = Date.now() - startMs > 10_000 ? 1 : failures + 1;
        restarts++;
        deps.log.warn(
          { process: spec.name, code, signal, log: spec.logFile, tail: logTail(spec.logFile) },
          "process ended, starting it again",
        );
        timer = setTimeout(start, backoffMs(failures, { minMs: 100, maxMs: 5_000 }));
      });
    });
  };
  start();
  const sizes = setInterval(() => limitLog(spec.logFile), LOG_CHECK_MS);
  sizes.unref();
  return {
    get pid() {
      return child?.pid ?? 0;
    },
    get restarts() {
      return restarts;
    },
    async [Symbol.asyncDispose]() {
      stopped = true;
      clearTimeout(timer);
      clearInterval(sizes);
      const running = child;
      if (!running) return;
      running.kill("SIGTERM");
      const kill = setTimeout(() => running.kill("SIGKILL"), STOP_MS);
      await exited;
      clearTimeout(kill);
    },
  };
}

/** fork(2) takes the namespace of the calling thread along, so spawning inside `inNetns` is all it needs. */
function spawnOne({ argv, netns, cgroup, logFile, env }: NodeProcess): ChildProcess {
  const log = openSync(logFile, "a", 0o640);
  try {
    const [file = "", ...args] = argv;
    const child = inNetns(netns, () =>
      spawn(file, args, { stdio: ["pipe", log, log], env: { ...process.env, ...env }, detached: true }),
    );
    // Before it has done anything: a Node process takes 30 ms to get to its first line.
    if (child.pid !== undefined) joinCgroup(cgroup, child.pid);
    child.stdin?.on("error", () => {});
    return child;
  } finally {
    closeSync(log);
  }
}

function limitLog(path: string): void {
  try {
    if (statSync(path).size > LOG_LIMIT) truncateSync(path);
  } catch {
    // No log yet.
  }
}

/** The last lines of a log, for a message. */
export function logTail(path: string, lines = 5): string {
  try {
    return readFileSync(path, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  } catch {
    return "";
  }
}
