// SPDX-License-Identifier: Apache-2.0
import { closeSync, existsSync } from "node:fs";
import { join } from "node:path";
import type { AgentConfig } from "#agent/config.ts";
import type { BeforeRecord } from "#datapath/before.ts";
import { openCgroupRoot } from "#kernel/cgroup.ts";
import { mountBpffs, mountHostBpffs } from "#kernel/mounts.ts";
import { inMountNamespace } from "#kernel/namespaces.ts";
import { assertSysctlsWritable, useSysctlsAt } from "#kernel/sysctl.ts";
import { errorText } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

/** The host's /proc for an agent in a container; undefined: the agent runs on the host itself. */
export function hostProcOf({ hostProc }: Pick<AgentConfig, "hostProc">): string | undefined {
  return existsSync(join(hostProc, "1/ns")) ? hostProc : undefined;
}

/** In an unprivileged container /proc/sys is read-only; the host's, mounted writable, does instead. */
export function findSysctls(config: Pick<AgentConfig, "hostProc">): void {
  const host = hostProcOf(config);
  if (host === undefined) return;
  try {
    assertSysctlsWritable();
  } catch {
    useSysctlsAt(join(host, "sys"));
  }
}

/** Sees to it that pins survive the agent: /sys/fs/bpf is a bpffs of the host, and the agent sees that one. */
export function ensureBpffs(
  config: AgentConfig,
  { before, log }: { readonly before: BeforeRecord; readonly log: Logger },
): void {
  const hostProc = hostProcOf(config);
  const made = hostProc === undefined ? mountBpffs() : mountHostBpffs(join(hostProc, "1/ns/mnt"));
  if (!made) return;
  before.bpffs();
  log.info({ path: "/sys/fs/bpf" }, "bpffs mounted: the host had none");
}

/**
 * The cgroup whose processes get service translation at connect, as a path that is good until disposal. In a container it is the root of the
 * host's first process, under which pods are; a host that does not let us look there leaves us the root we see, and pods the translation by packet.
 * @throws WeftError E_NO_CGROUP2
 */
export function socketCgroup(config: AgentConfig, log: Logger): Disposable & { readonly path: string } {
  if (config.cgroup !== undefined) return { path: config.cgroup, [Symbol.dispose]: () => {} };
  const fd = openRoot(hostProcOf(config), log);
  return { path: `/proc/self/fd/${fd}`, [Symbol.dispose]: () => closeSync(fd) };
}

function openRoot(hostProc: string | undefined, log: Logger): number {
  if (hostProc === undefined) return openCgroupRoot();
  const namespace = join(hostProc, "1/ns/cgroup");
  try {
    return openCgroupRoot(namespace);
  } catch (error) {
    log.warn(
      { namespace, error: errorText(error) },
      "the host's cgroup root can't be reached: Services are translated by packet for processes outside our own",
    );
    return openCgroupRoot();
  }
}

/** Runs `fn` where the host's own paths are: those that are mount points in a container can be removed only from there. */
export function onHost<T>(config: Pick<AgentConfig, "hostProc">, fn: () => T): T {
  const hostProc = hostProcOf(config);
  return hostProc === undefined ? fn() : inMountNamespace(join(hostProc, "1/ns/mnt"), fn);
}
