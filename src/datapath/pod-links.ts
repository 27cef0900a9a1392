// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { attachTcxInBackground, BpfLink } from "#kernel/bpf/link.ts";
import type { BpfProgram } from "#kernel/bpf/program.ts";
import { pause } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { AttachTarget } from "./attach-target.ts";
import { dropLink } from "./persistent-link.ts";

/*
 * What a pod sends meets its program by the pod's filter, from the moment the pod is there, and then by a tcx link before that
 * filter: five calls less a packet, but making one waits for an RCU grace period with the lock of all network devices held.
 */

const prefix = "pod_";
const programName = "from_pod";
/** Between two links: whoever waits for the lock of all devices comes first. */
const pauseMs = 50;

export type PodLinkTarget = Pick<AttachTarget, "linksDir" | "log"> & {
  readonly datapath: Pick<AttachTarget["datapath"], "program">;
};

const pathOf = ({ linksDir }: PodLinkTarget, ifindex: number) => join(linksDir, `${prefix}${ifindex}`);

/**
 * A link of an earlier agent gets this one's program, in one step; one that can't is taken away, and packets meet the filter.
 * @returns whether the pod has a link
 */
export function renewPodLink(target: PodLinkTarget, ifindex: number): boolean {
  const path = pathOf(target, ifindex);
  if (!existsSync(path)) return false;
  try {
    using link = BpfLink.openPinned(path);
    if (link.info().ifindex === ifindex) {
      link.update(target.datapath.program(programName));
      return true;
    }
  } catch (error) {
    target.log.warn({ link: path, error: errorText(error) }, "a pod's link can't be taken over");
  }
  dropLink(path);
  return false;
}

export interface LinkPodsOptions {
  readonly signal: AbortSignal;
  /** Default: on another thread, in this process's own network namespace. undefined: the device is gone, or the kernel would not. */
  attach?(program: BpfProgram, ifindex: number): Promise<BpfLink | undefined>;
}

/**
 * Makes the links of the pods behind these devices that have none, one after the other, and forgets those of devices that are
 * gone.
 * @returns how many pods have one
 */
export async function linkPods(
  target: PodLinkTarget,
  ifindexes: ReadonlySet<number>,
  { signal, attach = attachInBackground }: LinkPodsOptions,
): Promise<number> {
  mkdirSync(target.linksDir, { recursive: true });
  for (const name of readdirSync(target.linksDir))
    if (name.startsWith(prefix) && !ifindexes.has(Number(name.slice(prefix.length))))
      rmSync(join(target.linksDir, name), { force: true });
  let linked = 0;
  for (const ifindex of ifindexes) {
    if (signal.aborted) break;
    if (renewPodLink(target, ifindex)) {
      linked++;
      continue;
    }
    using link = await attach(target.datapath.program(programName), ifindex);
    link?.pin(pathOf(target, ifindex));
    if (link) linked++;
    await pause(pauseMs, signal);
  }
  return linked;
}

const attachInBackground = (program: BpfProgram, ifindex: number) =>
  attachTcxInBackground({ program, ifindex, direction: "ingress" });
