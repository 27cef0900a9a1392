// SPDX-License-Identifier: Apache-2.0
/** Programs that outlive the command that started them: known by pid and start time in a file. */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processStartTicks } from "#lab/record.ts";
import { WeftError } from "#lib/errors.ts";
import { joinCgroup2 } from "./cgroups.ts";
import type { Layout } from "./shape.ts";
import { until } from "./until.ts";

/** Starts a program in the background; its output goes to `logs/NAME.log`. */
export function startProcess(layout: Layout, name: string, argv: readonly string[]): void {
  mkdirSync(layout.logs, { recursive: true });
  mkdirSync(layout.pids, { recursive: true });
  const log = openSync(join(layout.logs, `${name}.log`), "a");
  const inCgroup = joinCgroup2(layout.cgroup, argv);
  const child = spawn(inCgroup[0]!, inCgroup.slice(1), { detached: true, stdio: ["ignore", log, log] });
  closeSync(log);
  child.unref();
  child.once("error", () => {});
  if (child.pid === undefined) throw new WeftError("E_COMMAND", `${name}: ${argv[0]} cannot be started`);
  writeFileSync(pidFile(layout, name), `${child.pid} ${processStartTicks(child.pid) ?? 0}\n`);
}

/** The pid of a program started by {@link startProcess}; undefined when it does not run. */
export function processId(layout: Layout, name: string): number | undefined {
  if (!existsSync(pidFile(layout, name))) return undefined;
  const [pid, ticks] = readFileSync(pidFile(layout, name), "utf8").trim().split(" ").map(Number);
  return pid && processStartTicks(pid) === ticks ? pid : undefined;
}

/** Ends a program and waits until it is gone. Nothing happens when it does not run. */
export async function stopProcess(
  layout: Layout,
  name: string,
  signal: NodeJS.Signals = "SIGKILL",
): Promise<void> {
  const pid = processId(layout, name);
  if (pid !== undefined) {
    process.kill(pid, signal);
    await until(`${name} to end`, 30_000, () => processId(layout, name) === undefined);
  }
  rmSync(pidFile(layout, name), { force: true });
}

/** The last lines a program wrote. */
export function logTail(layout: Layout, name: string, lines = 15): string {
  const file = join(layout.logs, `${name}.log`);
  return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").slice(-lines).join("\n") : "";
}

const pidFile = (layout: Layout, name: string) => join(layout.pids, name);
