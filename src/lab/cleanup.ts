// SPDX-License-Identifier: Apache-2.0
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { cgroupRoot, removeCgroup } from "#kernel/cgroup.ts";
import { deleteNetns, listNetns } from "#kernel/netns.ts";
import { BPF_DIR, PREFIX, STATE_DIR } from "./layout.ts";
import { isAlive, readRecord } from "./record.ts";

export interface Cleaned {
  readonly supervisor: boolean;
  readonly namespaces: number;
  readonly pins: boolean;
}

/** How long a supervisor may take to stop by itself. */
const STOP_MS = 15_000;

/**
 * Takes away everything a lab leaves: its supervisor, processes, namespaces (their devices go with them), pins, cgroups,
 * files. Finds it by name, so it works whatever is left of a lab, and does nothing where there is none.
 */
export async function cleanup(signal: AbortSignal): Promise<Cleaned> {
  const supervisor = await stopSupervisor(signal);
  const cgroup = join(cgroupRoot(), PREFIX);
  // Processes first: they would make things again. Removing the cgroup kills what is in it.
  if (existsSync(cgroup)) await removeCgroup(cgroup, signal);
  // A removed pin detaches its program: nothing of the datapath runs after this.
  const pins = existsSync(BPF_DIR);
  rmSync(BPF_DIR, { recursive: true, force: true });
  const names = listNetns().filter((name) => name.startsWith(`${PREFIX}-`));
  for (const name of names) deleteNetns(name);
  rmSync(STATE_DIR, { recursive: true, force: true });
  return { supervisor, namespaces: names.length, pins };
}

async function stopSupervisor(signal: AbortSignal): Promise<boolean> {
  const record = readRecord();
  if (!record || record.pid === process.pid || !isAlive(record)) return false;
  process.kill(record.pid, "SIGTERM");
  const until = Date.now() + STOP_MS;
  while (isAlive(record) && Date.now() < until && !signal.aborted) await delay(50);
  if (isAlive(record)) process.kill(record.pid, "SIGKILL");
  return true;
}
