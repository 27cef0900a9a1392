// SPDX-License-Identifier: Apache-2.0

import { explainFailure, type Feature, features } from "#kernel/bpf/features.ts";
import { type LinkInfo, linkInfo } from "#kernel/bpf/info.ts";
import { AttachType } from "#kernel/bpf/kinds.ts";
import { openPinned, pinObject } from "#kernel/bpf/pin.ts";
import type { BpfProgram } from "#kernel/bpf/program.ts";
import { BpfAttr, BpfCommand, bpfError } from "#kernel/bpf/sys.ts";
import { hasErrno } from "#kernel/errno.ts";
import { Fd } from "#kernel/fd.ts";
import { block } from "#kernel/memory.ts";

/**
 * A program attached to something. Owns its fd: closing the last one, unless the link is pinned, detaches.
 * All attach functions throw KernelError E_SYSCALL, or WeftError E_NOT_SUPPORTED when the kernel lacks the hook.
 */
export class BpfLink implements Disposable {
  readonly fd: Fd;

  constructor(fd: Fd) {
    this.fd = fd;
  }

  /** @throws KernelError with errno ENOENT when nothing is pinned there; WeftError E_BPF_PIN when it is not a link */
  static openPinned(path: string): BpfLink {
    return new BpfLink(new Fd(openPinned(path, "link"), `link ${path}`));
  }

  info(): LinkInfo {
    return linkInfo(this.fd.number);
  }

  /** Puts another program in place of the present one; no packet goes without. @throws KernelError */
  update(program: BpfProgram): void {
    new BpfAttr(16)
      .u32(0, this.fd.number)
      .u32(4, program.fd.number)
      .call(BpfCommand.linkUpdate, `replace the program of ${this.fd.label} by ${program.name}`);
  }

  /** Takes the program off even when the link is pinned or held elsewhere. */
  detach(): void {
    new BpfAttr(4).u32(0, this.fd.number).call(BpfCommand.linkDetach, `detach ${this.fd.label}`);
  }

  /** The link stays attached after us. @throws WeftError E_BPF_PIN; KernelError with errno EEXIST */
  pin(path: string): void {
    pinObject(this.fd.number, path);
  }

  close(): void {
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const Flag = { before: 1 << 3, after: 1 << 4, link: 1 << 13 } as const;

/** The place among the programs of the same hook; default behind all others. */
export type TcxPosition = "first" | "last" | { readonly before: BpfLink } | { readonly after: BpfLink };

export interface AttachTcxOptions {
  readonly program: BpfProgram;
  readonly ifindex: number;
  readonly direction: "ingress" | "egress";
  readonly position?: TcxPosition;
}

function tcxAttr({ program, ifindex, direction }: AttachTcxOptions): BpfAttr {
  return new BpfAttr(32)
    .u32(0, program.fd.number)
    .u32(4, ifindex)
    .u32(8, direction === "ingress" ? AttachType.tcxIngress : AttachType.tcxEgress);
}

/**
 * {@link attachTcx} behind all others, on a thread of libuv's pool and so in this process's own network namespace: the first of a
 * device waits for an RCU grace period. undefined: the kernel would not, and does not say why.
 */
export async function attachTcxInBackground(
  options: Omit<AttachTcxOptions, "position">,
): Promise<BpfLink | undefined> {
  const { program, ifindex, direction } = options;
  const fd = await tcxAttr(options).u32(12, Flag.after).tryInBackground(BpfCommand.linkCreate);
  return fd < 0
    ? undefined
    : new BpfLink(new Fd(fd, `link of ${program.name} to tcx ${direction} of device ${ifindex}`));
}

/** tcx (Linux 6.6): a program on a device's way in or out, before or after others. */
export function attachTcx(options: AttachTcxOptions): BpfLink {
  const { program, ifindex, direction, position = "last" } = options;
  const attr = tcxAttr(options);
  if (position === "first") attr.u32(12, Flag.before);
  else if (position === "last") attr.u32(12, Flag.after);
  else if ("before" in position) attr.u32(12, Flag.before | Flag.link).u32(16, position.before.fd.number);
  else attr.u32(12, Flag.after | Flag.link).u32(16, position.after.fd.number);
  return create(attr, `tcx ${direction} of device ${ifindex}`, { program, feature: features.tcx });
}

export interface AttachXdpOptions {
  readonly program: BpfProgram;
  readonly ifindex: number;
  /** In the driver, in the stack before it allocates (slow, every device), or what the driver can. */
  readonly mode?: "driver" | "generic" | "auto";
}

const XDP_MODES = { auto: 0, generic: 1 << 1, driver: 1 << 2 } as const;

export function attachXdp({ program, ifindex, mode = "auto" }: AttachXdpOptions): BpfLink {
  const attr = new BpfAttr(16)
    .u32(0, program.fd.number)
    .u32(4, ifindex)
    .u32(8, AttachType.xdp)
    .u32(12, XDP_MODES[mode]);
  return create(attr, `XDP of device ${ifindex}`, { program });
}

export interface AttachFdOptions {
  readonly program: BpfProgram;
  /** An open directory of cgroup 2, an open network namespace, or a map of sockets. */
  readonly fd: number;
  /** See `AttachType`; the program's section says which (`spec.kind.attachType`). */
  readonly attachType: number;
}

/** A program on a cgroup and all below it, beside those already there. */
export function attachCgroup({ program, fd, attachType }: AttachFdOptions): BpfLink {
  const attr = new BpfAttr(16).u32(0, program.fd.number).u32(4, fd).u32(8, attachType);
  return create(attr, `cgroup (attach type ${attachType})`, { program, feature: features.cgroupLink });
}

/** A program on the sockets of a sockmap or sockhash (Linux 6.10): what they send, or receive. `fd` is the map's. */
export function attachSockets({ program, fd, attachType }: AttachFdOptions): BpfLink {
  const attr = new BpfAttr(16).u32(0, program.fd.number).u32(4, fd).u32(8, attachType);
  return create(attr, "sockets of a map", { program, feature: features.sockmapLink });
}

/** A program on a network namespace: sk_lookup. */
export function attachNetns({ program, fd, attachType }: AttachFdOptions): BpfLink {
  const attr = new BpfAttr(16).u32(0, program.fd.number).u32(4, fd).u32(8, attachType);
  return create(attr, "network namespace", { program, feature: features.skLookup });
}

function create(
  attr: BpfAttr,
  where: string,
  { program, feature }: { program: BpfProgram; feature?: Feature },
): BpfLink {
  try {
    return new BpfLink(
      new Fd(
        attr.call(BpfCommand.linkCreate, `attach ${program.name} to ${where}`),
        `link of ${program.name} to ${where}`,
      ),
    );
  } catch (error) {
    throw explainFailure(feature, error);
  }
}

export interface AttachedProgram {
  readonly programId: number;
  /** 0: attached without a link. */
  readonly linkId: number;
}

/** Programs of a device's tcx hook in the order they run. @throws KernelError */
export function queryTcx(ifindex: number, direction: "ingress" | "egress"): AttachedProgram[] {
  const room = 64;
  const programs = block(room * 4);
  const links = block(room * 4);
  const attr = new BpfAttr(64)
    .u32(0, ifindex)
    .u32(4, direction === "ingress" ? AttachType.tcxIngress : AttachType.tcxEgress)
    .pointer(16, programs)
    .u32(24, room)
    .pointer(40, links);
  const result = attr.try(BpfCommand.progQuery);
  if (result === -2) return [];
  if (result < 0) throw bpfError(-result, `list tcx programs of device ${ifindex}`);
  return Array.from({ length: attr.getU32(24) }, (_, i) => ({
    programId: programs.view.getUint32(i * 4, true),
    linkId: links.view.getUint32(i * 4, true),
  }));
}

/** All links of the machine that can still be opened. The caller closes each. */
export function* allLinks(): Generator<BpfLink> {
  for (let id = 0; ; ) {
    const next = new BpfAttr(12).u32(0, id);
    if (next.try(BpfCommand.linkGetNextId) < 0) return;
    id = next.getU32(4);
    try {
      const fd = new BpfAttr(12).u32(0, id).call(BpfCommand.linkGetFdById, `open link ${id}`);
      yield new BpfLink(new Fd(fd, `link ${id}`));
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  }
}
