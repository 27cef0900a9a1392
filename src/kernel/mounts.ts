// SPDX-License-Identifier: Apache-2.0
import { closeSync, mkdirSync, readFileSync } from "node:fs";
import { checked, libc } from "#kernel/libc.ts";
import { inMountNamespace } from "#kernel/namespaces.ts";

/** A line of /proc/self/mounts. */
export interface Mount {
  readonly source: string;
  readonly target: string;
  /** `cgroup2`, `bpf`, … */
  readonly type: string;
  readonly options: readonly string[];
}

const MNT_DETACH = 2;
const FSCONFIG_CMD_CREATE = 6;
const CLOSE_ON_EXEC = 1;
const OPEN_TREE_CLONE = 1;
const CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const BPFFS_DIR = "/sys/fs/bpf";

/** What is mounted in this mount namespace, in the order of mounting. */
export function listMounts(): Mount[] {
  return parseMounts(readFileSync("/proc/thread-self/mounts", "utf8"));
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
  if (typeAt(path) === "bpf") return false;
  mkdirSync(path, { recursive: true });
  checked(libc.mount("bpf", path, "bpf", 0, "mode=0700"), `mount bpffs at ${path}`);
  return true;
}

/**
 * The same from within a container: mounted on the host, whose mount namespace is given (`/proc/1/ns/mnt` of the host), and that very mount
 * here as well, whatever the propagation between the two. True when the host had none.
 * @throws WeftError E_NAMESPACE; KernelError E_SYSCALL
 */
export function mountHostBpffs(namespace: string, path = BPFFS_DIR): boolean {
  if (typeAt(path) === "bpf") return false;
  const host = inMountNamespace(namespace, () => {
    const made = mountBpffs(path);
    return { made, tree: checked(libc.openTree(path, OPEN_TREE_CLONE | CLOEXEC), `open mount ${path}`) };
  });
  try {
    // Through a shared mount the new one may have come here by itself.
    if (typeAt(path) !== "bpf")
      checked(libc.moveMount(host.tree, path, MOVE_MOUNT_F_EMPTY_PATH), `mount the host's ${path}`);
  } finally {
    closeSync(host.tree);
  }
  return host.made;
}

/** The last mount on a path is the one that is seen. */
function typeAt(path: string): string | undefined {
  return listMounts().findLast((mount) => mount.target === path)?.type;
}

/**
 * A file system's root that is mounted nowhere: gone with the fd. What depends on the caller (the root a cgroup namespace sees) is fixed here.
 * @throws KernelError E_SYSCALL
 */
export function mountDetached(type: string): number {
  const context = checked(libc.fsopen(type, CLOSE_ON_EXEC), `open file system type ${type}`);
  try {
    checked(libc.fsconfig(context, FSCONFIG_CMD_CREATE), `make a ${type}`);
    return checked(libc.fsmount(context, CLOSE_ON_EXEC), `mount a ${type}`);
  } finally {
    closeSync(context);
  }
}

/** Takes a mount away, also while it is in use. @throws KernelError E_SYSCALL (`EINVAL` when nothing is mounted there) */
export function unmount(path: string): void {
  checked(libc.umount2(path, MNT_DETACH), `unmount ${path}`);
}
