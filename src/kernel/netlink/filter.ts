// SPDX-License-Identifier: Apache-2.0

import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import { hasErrno } from "#kernel/errno.ts";
import {
  decodeAttributes,
  type Message,
  MessageWriter,
  nestedOf,
  numberOf,
  textOf,
} from "#kernel/netlink/codec.ts";
import { type Netlink, NLM_F_CREATE, NLM_F_EXCL } from "#kernel/netlink/handle.ts";

export type FilterDirection = "ingress" | "egress";

/** A BPF program as a classifier of traffic control that also decides (`direct-action`, tc-bpf(8)). */
export interface BpfFilter {
  /** Index of the device. */
  readonly link: number;
  readonly direction: FilterDirection;
  /** Lower comes first, 1 to 65535. */
  readonly priority: number;
  readonly name: string;
  readonly programId: number;
}

const RTM_NEWQDISC = 36;
const RTM_NEWTFILTER = 44;
const RTM_GETTFILTER = 46;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_ID = 11;
const TCA_BPF_FLAG_ACT_DIRECT = 1;
/** TC_H_CLSACT, which is also TC_H_INGRESS. */
const CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
const PARENTS = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const;
/** ETH_P_ALL in network byte order. */
const ANY_PROTOCOL = LITTLE_ENDIAN ? 0x0300 : 0x0003;
const TCMSG = 20;

/** Gives a device the two hooks filters hang on. True when it had none. @throws KernelError E_NETLINK */
export function addClsact(netlink: Netlink, link: number): boolean {
  const payload = tcmsg(link, { handle: CLSACT_HANDLE, parent: CLSACT, info: 0 }).attributeString(
    TCA_KIND,
    "clsact",
  );
  try {
    netlink.request({
      type: RTM_NEWQDISC,
      flags: NLM_F_CREATE | NLM_F_EXCL,
      payload: payload.finish(),
      what: () => `add clsact to device ${link}`,
    });
    return true;
  } catch (error) {
    if (hasErrno(error, "EEXIST")) return false;
    throw error;
  }
}

/**
 * Puts a program on a hook of a device with {@link addClsact}. One that is there with the same priority is replaced in one step: no
 * packet goes without. It stays when this process ends and goes with the device.
 * @throws KernelError E_NETLINK
 */
export function setBpfFilter(
  netlink: Netlink,
  filter: Omit<BpfFilter, "programId"> & { readonly fd: number },
): void {
  const { link, direction, priority, name, fd } = filter;
  const info = ((priority << 16) | ANY_PROTOCOL) >>> 0;
  const writer = tcmsg(link, { handle: 1, parent: PARENTS[direction], info }).attributeString(
    TCA_KIND,
    "bpf",
  );
  writer.nested(TCA_OPTIONS, (options) =>
    options
      .attributeU32(TCA_BPF_FD, fd)
      .attributeString(TCA_BPF_NAME, name)
      .attributeU32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT),
  );
  netlink.request({
    type: RTM_NEWTFILTER,
    flags: NLM_F_CREATE,
    payload: writer.finish(),
    what: () => `set program ${name} at ${direction} of device ${link}`,
  });
}

/** The programs on a hook, in the order they run. @throws KernelError E_NETLINK */
export function listBpfFilters(netlink: Netlink, link: number, direction: FilterDirection): BpfFilter[] {
  const payload = tcmsg(link, { handle: 0, parent: PARENTS[direction], info: 0 }).finish();
  return netlink
    .dump({ type: RTM_GETTFILTER, payload, what: () => `list programs at ${direction} of device ${link}` })
    .flatMap((message) => decode(message, direction) ?? []);
}

/** struct tcmsg */
function tcmsg(link: number, at: { handle: number; parent: number; info: number }): MessageWriter {
  return new MessageWriter().u32(0).u32(link).u32(at.handle).u32(at.parent).u32(at.info);
}

function decode({ payload }: Message, direction: FilterDirection): BpfFilter | undefined {
  const attributes = decodeAttributes(payload, TCMSG);
  const options = nestedOf(attributes, TCA_OPTIONS);
  const programId = numberOf(options, TCA_BPF_ID);
  if (textOf(attributes, TCA_KIND) !== "bpf" || programId === undefined) return undefined;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return {
    link: view.getInt32(4, LITTLE_ENDIAN),
    direction,
    priority: view.getUint32(16, LITTLE_ENDIAN) >>> 16,
    name: textOf(options, TCA_BPF_NAME) ?? "",
    programId,
  };
}
