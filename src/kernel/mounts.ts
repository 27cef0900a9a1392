// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync } from "node:fs";
import { checked, libc } from "#kernel/libc.ts";

/** A line of /proc/self/mounts. */
export interface Mount {
  readonly source: string;
  readonly target: string;
  /** `cgroup2`, `bpf`, … */
  readonly type: string;
  readonly options: readonly string[];
}

const MNT_DETACH = 2;
const BPFFS_DIR = "/sys/fs/bpf";

/** What is mounted in this mount namespace, in the order of mounting. */
export function listMounts(): Mount[] {
  return parseMounts(readFileSync("/proc/self/mounts", "utf8"));
}

/** fstab(5) form: blanks in names are written as `\040`. Lines of another form are left out. */
export function parseMounts(text: string): Mount[] {
  return text.split("\n").flatMap((line) => {
    const [source, target, type, options] = line.split(" ").map(unescapeOctal);
    if (source === undefined || target === undefined || type === undefined || options === undefined)
      return [];
    return [{ source, target, type, options: options.split(",") }];
  });
}

function unescapeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/**
 * Sees to it that a BPF filesystem is mounted at `path`. True when it had to be mounted.
 * @throws KernelError E_SYSCALL
 */
export function mountBpffs(path = BPFFS_DIR): boolean {
  // The last mount on a path is the one that is seen.
  if (listMounts().findLast((mount) => mount.target === path)?.type === "bpf") return false;
  mkdirSync(path, { recursive: true });
  checked(libc.mount("bpf", path, "bpf", 0, "mode=0700"), `mount bpffs at ${path}`);
  return true;
}

/** Takes a mount away, also while it is in use. @throws KernelError E_SYSCALL (`EINVAL` when nothing is mounted there) */
export function unmount(path: string): void {
  checked(libc.umount2(path, MNT_DETACH), `unmount ${path}`);
}
