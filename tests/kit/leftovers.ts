// SPDX-License-Identifier: Apache-2.0
/** What test runs that were killed left on this machine: what tests make is named after the process that makes it. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { cgroupRoot, killCgroup, removeCgroup } from "#kernel/cgroup.ts";
import { deleteNetns, listNetns } from "#kernel/netns.ts";

const NAMED_BY_PID = /^(?:c-[a-z0-9]+|wcni|wns|wpr|weft-test)-(\d+)(?:-|$)/;

/** Whether tests named it so, in a process that is gone. */
export function isLeftover(name: string): boolean {
  const pid = NAMED_BY_PID.exec(name)?.[1];
  return pid !== undefined && !existsSync(`/proc/${pid}`);
}

/**
 * Takes them away, with the processes in them.
 * @returns their names
 */
export async function sweepLeftovers(): Promise<string[]> {
  const namespaces = listNetns().filter(isLeftover);
  for (const name of namespaces) deleteNetns(name);
  const root = cgroupRoot();
  const cgroups = readdirSync(root).filter(isLeftover);
  for (const name of cgroups) {
    killCgroup(join(root, name));
    await removeCgroup(join(root, name));
  }
  return [...namespaces, ...cgroups];
}
