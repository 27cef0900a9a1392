// SPDX-License-Identifier: Apache-2.0
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { hasErrno, KernelError } from "#kernel/errno.ts";
import { listMounts, mountDetached } from "#kernel/mounts.ts";
import { inCgroupNamespace } from "#kernel/namespaces.ts";
import { WeftError } from "#lib/errors.ts";

/** How long killed processes may take to be gone from a cgroup. */
const KILL_TIMEOUT_MS = 5000;

/**
 * Where the unified hierarchy is mounted: `/sys/fs/cgroup`, on a hybrid system `/sys/fs/cgroup/unified`.
 * @throws WeftError E_NO_CGROUP2
 */
export function cgroupRoot(): string {
  const mount = listMounts().find(({ type }) => type === "cgroup2");
  if (mount !== undefined) return mount.target;
  throw new WeftError("E_NO_CGROUP2", "no cgroup2 file system is mounted", {
    hint: "mount one: mount -t cgroup2 none /sys/fs/cgroup",
  });
}

/**
 * An fd of the root of the unified hierarchy, mounted or not. With a cgroup namespace (`/proc/1/ns/cgroup` of a container's host) it is that
 * namespace's root, which a container with a namespace of its own does not see otherwise. The fd's path is `/proc/self/fd/N`.
 * @throws WeftError E_NO_CGROUP2, E_NAMESPACE
 */
export function openCgroupRoot(namespace?: string): number {
  const open = () => {
    const root = mountDetached("cgroup2");
    try {
      return openSync(`/proc/thread-self/fd/${root}`, constants.O_RDONLY | constants.O_DIRECTORY);
    } finally {
      closeSync(root);
    }
  };
  try {
    return namespace === undefined ? open() : inCgroupNamespace(namespace, open);
  } catch (cause) {
    if (!(cause instanceof KernelError)) throw cause;
    throw new WeftError("E_NO_CGROUP2", "the root of the cgroup2 hierarchy cannot be opened", {
      cause,
      hint: "name a cgroup2 directory with `cgroup:`",
    });
  }
}

/** Makes a cgroup (and the ones above it) below the root; returns its directory. An existing one is left as it is. */
export function createCgroup(name: string, root = cgroupRoot()): string {
  const path = join(root, name);
  mkdirSync(path, { recursive: true });
  return path;
}

/** Moves a process with all its threads; 0 is this process. @throws KernelError-like fs errors (`ESRCH`: no such process) */
export function joinCgroup(path: string, pid: number): void {
  writeFileSync(join(path, "cgroup.procs"), String(pid));
}

/** The processes in the cgroup itself, not the ones below it; empty when it does not exist. */
export function cgroupPids(path: string): number[] {
  try {
    return readFileSync(join(path, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

/** The id BPF's bpf_get_current_cgroup_id gives: the directory's inode. */
export function cgroupId(path: string): bigint {
  return statSync(path, { bigint: true }).ino;
}

/** The cgroup2 directory of a process. @throws WeftError E_NO_CGROUP2; fs errors (`ENOENT`: no such process) */
export function cgroupOf(pid: number | "self", root = cgroupRoot()): string {
  const line = readFileSync(`/proc/${pid}/cgroup`, "utf8")
    .split("\n")
    .find((at) => at.startsWith("0::"));
  return join(root, line?.slice(3) ?? "/");
}

/** Sends SIGKILL to every process in the cgroup and below it. Does not wait. */
export function killCgroup(path: string): void {
  try {
    writeFileSync(join(path, "cgroup.kill"), "1");
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENODEV")) throw error;
  }
}

/**
 * Kills what is left in a cgroup and removes it with all below it. Resolves when it is gone.
 * @throws WeftError E_CGROUP_BUSY when processes do not die within 5 s
 */
export async function removeCgroup(path: string, signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  for (let pauseMs = 1; ; pauseMs = Math.min(50, pauseMs * 2)) {
    if (tryRemove(path)) return;
    killCgroup(path);
    if (performance.now() > deadline) {
      const pids = cgroupPids(path).slice(0, 8).join(", ");
      throw new WeftError(
        "E_CGROUP_BUSY",
        `cgroup ${path} does not become empty (processes: ${pids || "below it"})`,
      );
    }
    await delay(pauseMs, undefined, signal && { signal });
  }
}

/** Removes empty cgroups from the leaves up. False when one still has processes. */
function tryRemove(path: string): boolean {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory() && !tryRemove(join(path, entry.name))) return false;
    }
    rmdirSync(path);
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV")) return true;
    if (hasErrno(error, "EBUSY")) return false;
    throw error;
  }
}
