// SPDX-License-Identifier: Apache-2.0
/** What a machine must have left before a cluster starts: too little of it shows up as programs that fail for odd reasons. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { WeftError } from "#lib/errors.ts";

/** Inotify instances of a control plane and of a node, counted on a running cluster, and some to spare. */
const inotifyNeeds = { controlPlane: 14, node: 10 } as const;

/** @throws WeftError E_ROOM naming what is short and what to do */
export function checkRoom(nodes: number): void {
  if (process.getuid?.() !== 0) {
    throw new WeftError("E_ROOM", "a test cluster needs root: network namespaces, mounts, BPF");
  }
  const limit = Number(readFileSync("/proc/sys/fs/inotify/max_user_instances", "utf8"));
  const used = inotifyInstances();
  const needed = inotifyNeeds.controlPlane + inotifyNeeds.node * nodes;
  if (used + needed <= limit) return;
  throw new WeftError(
    "E_ROOM",
    `${used} of ${limit} inotify instances are in use, a cluster of ${nodes} nodes needs about ${needed}`,
    {
      hint: "take other clusters down (`list` names them), or raise the sysctl fs.inotify.max_user_instances",
    },
  );
}

function inotifyInstances(): number {
  let sum = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    sum += descriptors(pid).filter((target) => target === "anon_inode:inotify").length;
  }
  return sum;
}

/** Processes and files may go while they are read. */
function descriptors(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch {
        return "";
      }
    });
  } catch {
    return [];
  }
}
