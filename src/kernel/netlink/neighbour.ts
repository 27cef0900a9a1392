// SPDX-License-Identifier: Apache-2.0

import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import { hasErrno } from "#kernel/errno.ts";
import { decodeAttributes, type Message, MessageWriter } from "#kernel/netlink/codec.ts";
import { type Netlink, NLM_F_CREATE, NLM_F_REPLACE } from "#kernel/netlink/handle.ts";
import { inetAddress, inetBytes, inetFamily } from "#kernel/netlink/inet.ts";
import { macBytes, macText } from "#kernel/netlink/mac.ts";
import type { Address } from "#model/ip.ts";

/** An entry of the ARP or neighbour discovery table. */
export interface Neighbour {
  /** Index of the device. */
  readonly link: number;
  readonly address: Address;
  /** Absent while it is not resolved. */
  readonly mac?: string;
  /** Only in lists: never times out. What is written here always is permanent. */
  readonly permanent?: boolean;
}

const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;
const NUD_NOARP = 0x40;
const NUD_PERMANENT = 0x80;

/** Writes a permanent entry over whatever is there. @throws KernelError E_NETLINK */
export function replaceNeighbour(netlink: Netlink, neighbour: Neighbour & { readonly mac: string }): void {
  const { link, address, mac } = neighbour;
  const writer = ndmsg(inetFamily(address), link, NUD_PERMANENT).attribute(NDA_DST, inetBytes(address));
  netlink.request({
    type: RTM_NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    payload: writer.attribute(NDA_LLADDR, macBytes(mac)).finish(),
    what: () => `set neighbour ${address} on device ${link}`,
  });
}

/** True when there was an entry. */
export function deleteNeighbour(netlink: Netlink, { link, address }: Neighbour): boolean {
  const payload = ndmsg(inetFamily(address), link, 0).attribute(NDA_DST, inetBytes(address)).finish();
  try {
    netlink.request({
      type: RTM_DELNEIGH,
      payload,
      what: () => `delete neighbour ${address} on device ${link}`,
    });
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV", "ENXIO")) return false;
    throw error;
  }
}

/** Entries of both families without the kernel's own (multicast and such); of one device when its index is given. */
export function listNeighbours(netlink: Netlink, link?: number): Neighbour[] {
  const writer = ndmsg(0, 0, 0);
  if (link !== undefined) writer.attributeU32(NDA_IFINDEX, link);
  const messages = netlink.dump({
    type: RTM_GETNEIGH,
    payload: writer.finish(),
    what: () => "list neighbours",
  });
  return messages.flatMap(decode);
}

/** struct ndmsg */
function ndmsg(domain: number, link: number, state: number): MessageWriter {
  return new MessageWriter().u8(domain).u8(0).u16(0).u32(link).u16(state).u8(0).u8(0);
}

function decode({ payload }: Message): Neighbour[] {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const attributes = decodeAttributes(payload, 12);
  const state = view.getUint16(8, LITTLE_ENDIAN);
  const dst = attributes.get(NDA_DST);
  const mac = attributes.get(NDA_LLADDR);
  if (dst === undefined || (state & NUD_NOARP) !== 0) return [];
  return [
    {
      link: view.getUint32(4, LITTLE_ENDIAN),
      address: inetAddress(dst),
      permanent: (state & NUD_PERMANENT) !== 0,
      ...(mac !== undefined && { mac: macText(mac) }),
    },
  ];
}
