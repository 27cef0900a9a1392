// SPDX-License-Identifier: Apache-2.0
import { existsSync, readlinkSync, rmSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import { BpfAttr, BpfCommand } from "#kernel/bpf/sys.ts";
import { hasErrno } from "#kernel/errno.ts";
import { closeFd } from "#kernel/fd.ts";
import { cString } from "#kernel/memory.ts";
import { WeftError } from "#lib/errors.ts";

const BPF_FS_MAGIC = 0xcafe4a11;

/** Where the bpf file system stands on every distribution. */
const BPF_FS = "/sys/fs/bpf";

function isBpfFs(path: string): boolean {
  return existsSync(path) && statfsSync(path).type === BPF_FS_MAGIC;
}

/** Pins an object of the kernel. A pin that is there already stays: EEXIST. @throws WeftError E_BPF_PIN; KernelError */
export function pinObject(fd: number, path: string): void {
  const parent = dirname(path);
  if (!isBpfFs(parent)) {
    throw new WeftError("E_BPF_PIN", `cannot pin to ${path}: ${parent} is not in a bpf file system`, {
      hint: `Mount one: mount -t bpf bpf ${BPF_FS}`,
    });
  }
  new BpfAttr(12).pointer(0, cString(path)).u32(8, fd).call(BpfCommand.objPin, `pin to ${path}`);
}

/**
 * Opens a pinned map, program or link; returns its fd.
 * @throws KernelError with errno ENOENT when there is none; WeftError E_BPF_PIN when it is something else
 */
export function openPinned(path: string, kind: "map" | "prog" | "link"): number {
  const fd = new BpfAttr(16).pointer(0, cString(path)).call(BpfCommand.objGet, `open pin ${path}`);
  const is = readlinkSync(`/proc/self/fd/${fd}`);
  // "anon_inode:bpf-map", "anon_inode:bpf_link"
  if (new RegExp(`bpf[-_]${kind}$`).test(is)) return fd;
  closeFd(fd);
  throw new WeftError("E_BPF_PIN", `${path} is a ${is.replace("anon_inode:", "")}, not a ${kind}`);
}

/** Takes a pin away; what it named lives on while something else holds it. True when there was one. */
export function unpin(path: string): boolean {
  try {
    rmSync(path);
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}

export function pinPath(directory: string, name: string): string {
  // bpffs refuses names with a dot.
  return join(directory, name.replaceAll(".", "_"));
}
