// SPDX-License-Identifier: Apache-2.0
import { access, closeSync, constants, mkdirSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { hasErrno, KernelError } from "#kernel/errno.ts";
import { checked, errnoText, lastErrno, libc } from "#kernel/libc.ts";
import { WeftError } from "#lib/errors.ts";

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SHARED = 0x100000;
const MNT_DETACH = 2;
const OWN = "/proc/thread-self/ns/net";

/** Where named network namespaces live, as iproute2 has it. */
export const NETNS_DIR = "/run/netns";

/** A network namespace: an open fd of it, or the path of one (`/run/netns/x`, `/proc/123/ns/net`). */
export type NetnsRef = number | string;

/** The namespace this thread has outside every {@link inNetns}; opened at first use and kept. */
let home: number | undefined;
/** Where the innermost {@link inNetns} took this thread. */
let inside: number | undefined;

/**
 * Opens a network namespace. The fd keeps it alive; close it with `closeSync`.
 * @throws WeftError E_NETNS when there is none at the path (gone, or only a leftover file)
 */
export function openNetns(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY);
  } catch (cause) {
    throw new WeftError("E_NETNS", `network namespace ${path} does not exist`, { cause });
  }
}

/** The path of a named namespace: {@link NETNS_DIR} and a name without slashes. */
export function netnsPath(name: string): string {
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
    throw new WeftError("E_NETNS", `"${name}" is not a name for a network namespace`);
  }
  return join(NETNS_DIR, name);
}

/**
 * Runs `fn` with this thread inside another network namespace and always comes back. `fn` must be synchronous:
 * setns(2) is per thread, so an `await` inside would leave the rest of the program in the wrong namespace.
 * Nests. When coming back fails the process is aborted: nothing it does afterwards could be trusted.
 * @throws WeftError E_NETNS when the namespace cannot be entered; whatever `fn` throws
 */
export function inNetns<T>(netns: NetnsRef, fn: () => T): T {
  const back = inside ?? homeNetns();
  const target = typeof netns === "string" ? openNetns(netns) : netns;
  try {
    if (libc.setns(target, CLONE_NEWNET) !== 0) throw notANetns(netns, lastErrno());
    inside = target;
    let result: T;
    try {
      result = fn();
    } finally {
      comeBack(back);
    }
    if (result instanceof Promise)
      throw new TypeError("the function given to inNetns must not be asynchronous");
    return result;
  } finally {
    if (typeof netns === "string") closeSync(target);
  }
}

function homeNetns(): number {
  if (home === undefined) {
    home = openSync(OWN, constants.O_RDONLY);
    // libuv starts its threads at the first asynchronous call and they inherit the namespace of the caller:
    // make that happen here, before this thread ever leaves home.
    access("/", () => {});
  }
  return home;
}

function comeBack(to: number): void {
  if (libc.setns(to, CLONE_NEWNET) !== 0) {
    process.stderr.write(
      `weft: fatal: cannot return to the own network namespace: ${errnoText(lastErrno())}\n`,
    );
    process.abort();
  }
  inside = to === home ? undefined : to;
}

function notANetns(netns: NetnsRef, errno: number): WeftError {
  const name = typeof netns === "string" ? netns : `fd ${netns}`;
  const cause = new KernelError("E_SYSCALL", `setns: ${errnoText(errno)}`, errno);
  return new WeftError("E_NETNS", `${name} is not a network namespace, or no longer one`, { cause });
}

/**
 * Runs `fn` with this thread in a network namespace of its own, which ends with it: a place to try things without a trace. As {@link inNetns}.
 * @throws KernelError E_SYSCALL when none can be made; whatever `fn` throws
 */
export function inFreshNetns<T>(fn: () => T): T {
  const back = inside ?? homeNetns();
  checked(libc.unshare(CLONE_NEWNET), "make a network namespace");
  try {
    return fn();
  } finally {
    comeBack(back);
  }
}

/**
 * Makes a named network namespace that `ip netns` knows too, with everything down. Returns its path.
 * @throws WeftError E_NETNS_EXISTS; KernelError E_SYSCALL
 */
export function createNetns(name: string): string {
  const path = netnsPath(name);
  shareNetnsDir();
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_CREAT | constants.O_EXCL, 0o444));
  } catch (cause) {
    if (!hasErrno(cause, "EEXIST")) throw cause;
    throw new WeftError("E_NETNS_EXISTS", `network namespace ${path} exists already`, { cause });
  }
  const back = inside ?? homeNetns();
  try {
    checked(libc.unshare(CLONE_NEWNET), `make network namespace ${name}`);
    try {
      checked(libc.mount(OWN, path, null, MS_BIND, null), `mount network namespace ${path}`);
    } finally {
      comeBack(back);
    }
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
  return path;
}

/** Mounts made below must be seen by (and unmounts follow into) every mount namespace, hence a shared mount of its own. */
function shareNetnsDir(): void {
  mkdirSync(NETNS_DIR, { recursive: true, mode: 0o755 });
  if (libc.mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, null) === 0) return;
  checked(libc.mount(NETNS_DIR, NETNS_DIR, "none", MS_BIND | MS_REC, null), `mount ${NETNS_DIR}`);
  checked(libc.mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, null), `share mount ${NETNS_DIR}`);
}

/** Removes the name; the namespace itself ends with its last process and fd. True when the name existed. */
export function deleteNetns(name: string): boolean {
  const path = netnsPath(name);
  if (libc.umount2(path, MNT_DETACH) !== 0) {
    const errno = lastErrno();
    // EINVAL: a leftover file nothing is mounted on.
    if (errno !== 2 && errno !== 22) {
      throw new KernelError("E_SYSCALL", `unmount network namespace ${path}: ${errnoText(errno)}`, errno);
    }
    if (errno === 2) return false;
  }
  rmSync(path, { force: true });
  return true;
}

/** Names in {@link NETNS_DIR}, sorted; leftover files included. */
export function listNetns(): string[] {
  try {
    return readdirSync(NETNS_DIR).sort();
  } catch (cause) {
    if (hasErrno(cause, "ENOENT")) return [];
    throw cause;
  }
}

/** Inode of a namespace: equal for two paths exactly when they are the same namespace (until it is gone). */
export function netnsInode(path: string): number {
  try {
    return statSync(path).ino;
  } catch (cause) {
    throw new WeftError("E_NETNS", `network namespace ${basename(path)} does not exist`, { cause });
  }
}
