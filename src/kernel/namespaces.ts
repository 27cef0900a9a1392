// SPDX-License-Identifier: Apache-2.0
import { closeSync, constants, openSync } from "node:fs";
import { checked, errnoText, lastErrno, libc } from "#kernel/libc.ts";
import { WeftError } from "#lib/errors.ts";

const CLONE_FS = 0x200;
const CLONE_NEWNS = 0x20000;
const CLONE_NEWCGROUP = 0x2000000;

/**
 * Runs `fn` with this thread in another cgroup namespace (`/proc/1/ns/cgroup`) and comes back: what it mounts has that namespace's root.
 * `fn` must be synchronous, as for `inNetns`.
 * @throws WeftError E_NAMESPACE when it cannot be entered; what `fn` throws
 */
export function inCgroupNamespace<T>(path: string, fn: () => T): T {
  return inside(path, CLONE_NEWCGROUP, "/proc/thread-self/ns/cgroup", fn, () => {});
}

/**
 * Runs `fn` with this thread in another mount namespace and comes back to the own one and its root directory. From then on the thread has a
 * working directory and umask of its own: other threads no longer share them.
 * @throws WeftError E_NAMESPACE when it cannot be entered; what `fn` throws
 */
export function inMountNamespace<T>(path: string, fn: () => T): T {
  const root = openSync("/", constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    // A thread that shares its root directory with others may not change the namespace of mounts.
    checked(libc.unshare(CLONE_FS), "unshare the working directory");
    // setns(2) moves the root to that of the namespace; a container's may lie deeper.
    return inside(path, CLONE_NEWNS, "/proc/thread-self/ns/mnt", fn, () => {
      checked(libc.fchdir(root), "return to the own root directory");
      checked(libc.chroot("."), "return to the own root directory");
    });
  } finally {
    closeSync(root);
  }
}

function inside<T>(path: string, type: number, own: string, fn: () => T, after: () => void): T {
  const home = openSync(own, constants.O_RDONLY);
  try {
    enter(path, type);
    try {
      return fn();
    } finally {
      comeBack(home, type, after);
    }
  } finally {
    closeSync(home);
  }
}

function enter(path: string, type: number): void {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY);
  } catch (cause) {
    throw new WeftError("E_NAMESPACE", `namespace ${path} cannot be opened`, { cause });
  }
  try {
    if (libc.setns(fd, type) === 0) return;
    throw new WeftError("E_NAMESPACE", `namespace ${path} cannot be entered: ${errnoText(lastErrno())}`, {
      hint: "the process needs CAP_SYS_ADMIN and CAP_SYS_CHROOT",
    });
  } finally {
    closeSync(fd);
  }
}

/** When that fails nothing the process does afterwards could be trusted. */
function comeBack(home: number, type: number, after: () => void): void {
  try {
    checked(libc.setns(home, type), "return to the own namespace");
    after();
  } catch (error) {
    process.stderr.write(`weft: fatal: ${String(error)}\n`);
    process.abort();
  }
}
