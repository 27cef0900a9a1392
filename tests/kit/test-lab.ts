// SPDX-License-Identifier: Apache-2.0
// The lab as its users drive it: by the command, under a name of its own, so that a lab somebody runs is left alone.
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupRoot } from "#kernel/cgroup.ts";
import type { ProbeRow } from "#lab/probe-attempt.ts";
import type { LabStatus } from "#lab/status.ts";

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export const root = join(import.meta.dirname, "../..");

export interface TestLab extends AsyncDisposable {
  /** Everything of it carries this in its name. */
  readonly prefix: string;
  weft(args: readonly string[], input?: string): Promise<CommandResult>;
  /** As {@link weft}, but a failure is an error with what the command said. */
  run(args: readonly string[], input?: string): Promise<string>;
  status(): Promise<LabStatus>;
  probe(args?: readonly string[], input?: string): Promise<ProbeRow[]>;
  /** Namespaces, pins, cgroups, files and processes that carry the lab's name. */
  leftovers(): string[];
}

/** `name`: letters and digits, its own in every test file. Disposing takes the lab down. */
export function testLab(name: string): TestLab {
  const prefix = `weft-${name}-lab`;
  const weft: TestLab["weft"] = (args, input) =>
    command(join(root, "weft"), args, { name, ...(input !== undefined && { input }) });
  const run: TestLab["run"] = async (args, input) => {
    const { code, stdout, stderr } = await weft(args, input);
    if (code !== 0) throw new Error(`weft ${args.join(" ")}: exit code ${code}: ${stderr}`);
    return stdout;
  };
  return {
    prefix,
    weft,
    run,
    status: async () => JSON.parse(await run(["lab", "status", "-o", "json"])) as LabStatus,
    probe: async (args = [], input) =>
      JSON.parse(await run(["lab", "probe", "-o", "json", ...args], input)) as ProbeRow[],
    leftovers: () => leftovers(prefix),
    async [Symbol.asyncDispose]() {
      await weft(["lab", "down"]);
    },
  };
}

const TIMEOUT_MS = 150_000;

function command(
  file: string,
  args: readonly string[],
  { name, input = "" }: { name: string; input?: string },
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const env = { ...process.env, WEFT_LAB: name };
    const child = execFile(
      file,
      args,
      { env, timeout: TIMEOUT_MS, maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 128;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}

function leftovers(prefix: string): string[] {
  const names = existsSync("/run/netns")
    ? readdirSync("/run/netns").filter((one) => one.startsWith(prefix))
    : [];
  const paths = [
    `/run/${prefix}`,
    `/run/${prefix}-supervisor.log`,
    `/sys/fs/bpf/${prefix}`,
    join(cgroupRoot(), prefix),
  ];
  const processes = readdirSync("/proc").filter(
    (pid) => /^\d+$/.test(pid) && commandLine(pid).includes(`/run/${prefix}/`),
  );
  return [
    ...names,
    ...paths.filter((path) => existsSync(path)),
    ...processes.map((pid) => `process ${pid}: ${commandLine(pid)}`),
  ];
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

/** `from-workload → service:port` of what was allowed, sorted. */
export function allowedPairs(rows: readonly ProbeRow[]): string[] {
  return rows
    .filter((row) => row.verdict === "allow")
    .map(({ from, to }) => `${from.namespace}/${from.workload} → ${to.namespace}/${to.service}:${to.port}`)
    .sort();
}
