// SPDX-License-Identifier: Apache-2.0

import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import { hasErrno } from "#kernel/errno.ts";
import { decodeAttributes, type Message, MessageWriter, numberOf } from "#kernel/netlink/codec.ts";
import { type Netlink, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "#kernel/netlink/handle.ts";
import { inetAddress, inetBytes, inetFamily } from "#kernel/netlink/inet.ts";
import { AF_INET } from "#kernel/socket.ts";
import type { Address } from "#model/ip.ts";

/** An address on a device. */
export interface InterfaceAddress {
  /** Index of the device. */
  readonly link: number;
  readonly address: Address;
  /** Prefix length in the address's own family. */
  readonly bits: number;
  /** Usable at once: IPv6 duplicate address detection is left out. */
  readonly noDad?: boolean;
  /** The kernel makes no route to the prefix. */
  readonly noPrefixRoute?: boolean;
  /** Default `global`. */
  readonly scope?: "global" | "link" | "host";
  /** IPv6: still under duplicate address detection, so not usable yet. Only in lists. */
  readonly tentative?: boolean;
}

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;
const SCOPES = { global: 0, link: 253, host: 254 } as const;

/** Adds an address. @throws KernelError E_NETLINK (`EEXIST` when the device has it) */
export function addAddress(netlink: Netlink, address: InterfaceAddress): void {
  netlink.request({
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: encode(address),
    what: () => `add address ${text(address)}`,
  });
}

/** Adds an address, or gives the one the device has these flags. */
export function replaceAddress(netlink: Netlink, address: InterfaceAddress): void {
  netlink.request({
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    payload: encode(address),
    what: () => `replace address ${text(address)}`,
  });
}

/** True when the device had the address. */
export function deleteAddress(netlink: Netlink, address: InterfaceAddress): boolean {
  try {
    netlink.request({
      type: RTM_DELADDR,
      payload: encode(address),
      what: () => `delete address ${text(address)}`,
    });
    return true;
  } catch (error) {
    if (hasErrno(error, "EADDRNOTAVAIL")) return false;
    throw error;
  }
}

/** Addresses of both families; of one device when its index is given. */
export function listAddresses(netlink: Netlink, link?: number): InterfaceAddress[] {
  const payload = new MessageWriter()
    .u8(0)
    .u8(0)
    .u8(0)
    .u8(0)
    .u32(link ?? 0)
    .finish();
  return netlink.dump({ type: RTM_GETADDR, payload, what: () => "list addresses" }).map(decode);
}

function encode({ link, address, bits, noDad, noPrefixRoute, scope }: InterfaceAddress): Uint8Array {
  const flags =
    IFA_F_PERMANENT | (noDad === true ? IFA_F_NODAD : 0) | (noPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0);
  const writer = new MessageWriter()
    .u8(inetFamily(address))
    .u8(bits)
    .u8(0)
    .u8(SCOPES[scope ?? "global"])
    .u32(link);
  const bytes = inetBytes(address);
  return writer
    .attribute(IFA_LOCAL, bytes)
    .attribute(IFA_ADDRESS, bytes)
    .attributeU32(IFA_FLAGS, flags)
    .finish();
}

function decode({ payload }: Message): InterfaceAddress {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const attributes = decodeAttributes(payload, 8);
  // IFA_ADDRESS is the peer's address on IPv4 point-to-point devices.
  const own = (payload[0] === AF_INET ? attributes.get(IFA_LOCAL) : undefined) ?? attributes.get(IFA_ADDRESS);
  const flags = numberOf(attributes, IFA_FLAGS) ?? payload[2]!;
  const scope = payload[3] === SCOPES.host ? "host" : payload[3] === SCOPES.link ? "link" : "global";
  return {
    link: view.getUint32(4, LITTLE_ENDIAN),
    address: inetAddress(own ?? new Uint8Array(4)),
    bits: payload[1]!,
    scope,
    noDad: (flags & IFA_F_NODAD) !== 0,
    noPrefixRoute: (flags & IFA_F_NOPREFIXROUTE) !== 0,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
  };
}

function text({ address, bits, link }: InterfaceAddress): string {
  return `${address}/${bits} on device ${link}`;
}
