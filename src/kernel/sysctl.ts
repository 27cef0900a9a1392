// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WeftError } from "#lib/errors.ts";

let root = "/proc/sys";

/**
 * Where parameters are from now on, for the whole program: a container's own /proc/sys can't be written, the host's, mounted elsewhere, can. What
 * is under `net/` there belongs to the calling thread's network namespace all the same.
 */
export function useSysctlsAt(path: string): void {
  root = path;
}

/** Whether parameters of the network can be set. @throws file system errors (`EROFS`) */
export function assertSysctlsWritable(at = root): void {
  accessSync(join(at, "net/ipv4/ip_forward"), constants.W_OK);
}

/**
 * Reads a kernel parameter by its path below /proc/sys (`net/ipv4/conf/eth0.5/rp_filter`: with slashes, because device
 * names may hold dots; a name without any slash is taken as the dotted form, `net.ipv4.ip_forward`). What is under `net/` belongs to the calling thread's network namespace: use `inNetns`.
 * @throws WeftError E_SYSCTL
 */
export function readSysctl(name: string): string {
  try {
    return readFileSync(sysctlPath(name), "utf8").trimEnd();
  } catch (cause) {
    throw new WeftError("E_SYSCTL", `cannot read kernel parameter ${name}`, { cause });
  }
}

/** Sets a kernel parameter; see {@link readSysctl} for the name. @throws WeftError E_SYSCTL */
export function writeSysctl(name: string, value: string | number): void {
  try {
    writeFileSync(sysctlPath(name), `${value}\n`);
  } catch (cause) {
    throw new WeftError("E_SYSCTL", `cannot set kernel parameter ${name} to ${value}`, { cause });
  }
}

function sysctlPath(name: string): string {
  const parts = name.split(name.includes("/") ? "/" : ".");
  if (parts.some((part) => part === "" || part === "..")) {
    throw new WeftError("E_SYSCTL", `"${name}" is not the name of a kernel parameter`);
  }
  return join(root, ...parts);
}
