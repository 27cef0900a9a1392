// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { basename, join } from "node:path";

export const checkout = join(import.meta.dirname, "../..");
/**
 * The labs of the tests have names of their own, so that they never meet one a person has up, nor one another when two files run at once:
 * the file's, so that its next run finds what a killed one left.
 */
export const labName = process.env.WEFT_LAB ?? nameFor(process.argv[1]);
export const labPrefix = labName === "" ? "weft-lab" : `weft-${labName}-lab`;
export const labStateDir = `/run/${labPrefix}`;
export const labBpfDir = `/sys/fs/bpf/${labPrefix}`;
/** Where cgroup2 is mounted: by itself, or below the older hierarchy. */
const cgroupMount = existsSync("/sys/fs/cgroup/cgroup.procs") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
export const labCgroup = join(cgroupMount, labPrefix);

function nameFor(file = ""): string {
  const letters = basename(file)
    .replace(/\.test\.ts$/, "")
    .replace(/[^a-z0-9]/g, "");
  return letters.slice(0, 12) || "tests";
}

export interface RunResult {
  /** -1: killed by a signal. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  /** Default 60 s; then it is killed and that is an error. */
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a command to its end, whatever its exit code. @throws when it takes too long */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { input, timeoutMs = 60_000, env } = options;
  const [file = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: checkout,
      env: { ...process.env, WEFT_LAB: labName, NO_COLOR: "1", ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const text = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const)
      child[name].setEncoding("utf8").on("data", (chunk: string) => (text[name] += chunk));
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`${argv.join(" ")} took over ${timeoutMs} ms\n${text.stdout}${text.stderr}`));
    }, timeoutMs);
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? -1, ...text });
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
  });
}

/** As {@link run}, with an exit code that has to be 0; returns stdout. */
export async function runOk(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(argv, options);
  if (code !== 0) throw new Error(`${argv.join(" ")}: exit code ${code}\n${stdout}${stderr}`);
  return stdout;
}

export function weft(...args: readonly string[]): Promise<RunResult> {
  return run([join(checkout, "weft"), ...args]);
}

export function weftOk(...args: readonly string[]): Promise<string> {
  return runOk([join(checkout, "weft"), ...args]);
}

export async function weftJson<T>(...args: readonly string[]): Promise<T> {
  return JSON.parse(await weftOk(...args, "-o", "json")) as T;
}

/**
 * Waits for a condition by asking again and again; what it gives back, when that is not undefined or false.
 * @throws after `timeoutMs`, naming what was waited for and what the last attempt said
 */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  { timeoutMs = 60_000, everyMs = 50 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<Exclude<T, undefined | false>> {
  const endMs = performance.now() + timeoutMs;
  for (let last = ""; ; ) {
    try {
      const result = await condition();
      if (result !== undefined && result !== false) return result as Exclude<T, undefined | false>;
    } catch (error) {
      last = `: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs} ms for ${what}${last}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
