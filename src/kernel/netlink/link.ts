// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
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
import {
  type Netlink,
  type NetlinkRequest,
  NLM_F_CREATE,
  NLM_F_EXCL,
  openNetlink,
} from "#kernel/netlink/handle.ts";
import { macBytes, macText } from "#kernel/netlink/mac.ts";
import { type NetnsRef, openNetns } from "#kernel/netns.ts";
import { AF_INET6 } from "#kernel/socket.ts";
import { WeftError } from "#lib/errors.ts";

/** A network device, as the kernel reports it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** `veth`, `vxlan`, `bridge`, …; absent for devices without rtnl_link_ops such as lo. */
  readonly kind?: string;
  /** Absent for devices without a link-layer address. */
  readonly mac?: string;
  readonly mtu: number;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** Has a carrier and can pass packets (IFF_LOWER_UP). */
  readonly carrier: boolean;
  /**
   * Operational state (RFC 2863) is up. Follows the carrier with a delay; till then what is sent is dropped. Drivers
   * that keep no such state (loopback) never say so.
   */
  readonly operational: boolean;
  readonly noArp: boolean;
  readonly loopback: boolean;
  /** Index of the bridge or other device it belongs to. */
  readonly master?: number;
  /** veth: the peer's index, in the peer's namespace. */
  readonly peer?: number;
  readonly alias?: string;
  readonly vxlan?: { readonly port: number; readonly external: boolean };
}

/** A device by index or by name. */
export type LinkRef = number | string;

export interface NewLink {
  readonly name: string;
  /** Default: the kernel makes one up. */
  readonly mac?: string;
  readonly mtu?: number;
}

/** What to change; absent fields stay as they are. */
export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
  /** The device has to be down. */
  readonly name?: string;
  readonly noArp?: boolean;
  /** 0 takes it out of its master. */
  readonly master?: number;
  /** Moves the device there. */
  readonly netns?: NetnsRef;
  readonly alias?: string;
  /** False: IPv6 makes no link-local address of its own on it. */
  readonly linkLocal?: boolean;
}

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_NOARP = 0x80;
const IFF_LOWER_UP = 0x10000;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_AF_SPEC = 26;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_EUI64 = 0;
const IN6_ADDR_GEN_MODE_NONE = 1;
const IF_OPER_UP = 6;
const VETH_INFO_PEER = 1;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 20;
const IFLA_VXLAN_COLLECT_METADATA = 25;

/** Makes a veth pair, the peer directly in another namespace when one is given. @throws KernelError E_NETLINK, WeftError E_NETNS */
export function addVeth(
  netlink: Netlink,
  veth: NewLink & { readonly peer: NewLink & { readonly netns?: NetnsRef } },
): void {
  const { peer } = veth;
  withNetns(peer.netns, (fd) => {
    addLink(netlink, "veth", veth, (data) =>
      data.nested(VETH_INFO_PEER, (writer) => {
        ifinfomsg(writer, 0);
        newLinkAttributes(writer, peer);
        if (fd !== undefined) writer.attributeU32(IFLA_NET_NS_FD, fd);
      }),
    );
  });
}

/**
 * Makes a VXLAN device in external (collect metadata) mode: VNI and remote address come with every packet, from a
 * route's encapsulation or from BPF. It takes IPv4 and IPv6 underlays alike.
 */
export function addVxlan(netlink: Netlink, vxlan: NewLink & { readonly port: number }): void {
  addLink(netlink, "vxlan", vxlan, (data) =>
    data
      .attributeU8(IFLA_VXLAN_COLLECT_METADATA, 1)
      .attributeU8(IFLA_VXLAN_LEARNING, 0)
      .attributeU8(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, 1)
      .attributeBe16(IFLA_VXLAN_PORT, vxlan.port),
  );
}

export function addBridge(netlink: Netlink, bridge: NewLink): void {
  addLink(netlink, "bridge", bridge, () => {});
}

function addLink(netlink: Netlink, kind: string, link: NewLink, fill: (data: MessageWriter) => void): void {
  const writer = ifinfomsg(new MessageWriter(), 0);
  newLinkAttributes(writer, link);
  writer.nested(IFLA_LINKINFO, () => {
    writer.attributeString(IFLA_INFO_KIND, kind).nested(IFLA_INFO_DATA, fill);
  });
  netlink.request({
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: writer.finish(),
    what: () => `add ${kind} ${link.name}`,
  });
}

function newLinkAttributes(writer: MessageWriter, { name, mac, mtu }: NewLink): void {
  writer.attributeString(IFLA_IFNAME, checkedName(name));
  if (mac !== undefined) writer.attribute(IFLA_ADDRESS, macBytes(mac));
  if (mtu !== undefined) writer.attributeU32(IFLA_MTU, mtu);
}

/** Changes a device in one request. @throws KernelError E_NETLINK (`ENODEV` when there is none) */
export function setLink(netlink: Netlink, link: LinkRef, change: LinkChange): void {
  const flags = (change.up === true ? IFF_UP : 0) | (change.noArp === true ? IFF_NOARP : 0);
  const mask = (change.up !== undefined ? IFF_UP : 0) | (change.noArp !== undefined ? IFF_NOARP : 0);
  withNetns(change.netns, (fd) => {
    const writer = linkMessage(link, flags, mask, change.name !== undefined);
    if (change.name !== undefined) writer.attributeString(IFLA_IFNAME, checkedName(change.name));
    if (change.mac !== undefined) writer.attribute(IFLA_ADDRESS, macBytes(change.mac));
    if (change.mtu !== undefined) writer.attributeU32(IFLA_MTU, change.mtu);
    if (change.master !== undefined) writer.attributeU32(IFLA_MASTER, change.master);
    if (change.alias !== undefined) writer.attributeString(IFLA_IFALIAS, change.alias);
    if (fd !== undefined) writer.attributeU32(IFLA_NET_NS_FD, fd);
    if (change.linkLocal !== undefined) {
      const mode = change.linkLocal ? IN6_ADDR_GEN_MODE_EUI64 : IN6_ADDR_GEN_MODE_NONE;
      writer.nested(IFLA_AF_SPEC, () => {
        writer.nested(AF_INET6, () => writer.attributeU8(IFLA_INET6_ADDR_GEN_MODE, mode));
      });
    }
    netlink.request({ type: RTM_NEWLINK, payload: writer.finish(), what: () => `set link ${link}` });
  });
}

/** Deletes a device (a veth with its peer). True when it existed. @throws KernelError E_NETLINK */
export function deleteLink(netlink: Netlink, link: LinkRef): boolean {
  const payload = linkMessage(link, 0, 0).finish();
  return (
    found(() => netlink.request({ type: RTM_DELLINK, payload, what: () => `delete link ${link}` })) !==
    undefined
  );
}

/**
 * As {@link deleteLink}, off the main thread: the kernel waits for an RCU grace period, which is 16 ms a device here.
 * Opens a handle of its own in the given namespace.
 */
export async function deleteLinkInBackground(
  link: LinkRef,
  options: { readonly netns?: NetnsRef } = {},
): Promise<boolean> {
  using netlink = openNetlink(options);
  try {
    await netlink.requestInBackground(deletion(link));
    return true;
  } catch (error) {
    if (hasErrno(error, "ENODEV")) return false;
    throw error;
  }
}

function deletion(link: LinkRef): NetlinkRequest {
  return { type: RTM_DELLINK, payload: linkMessage(link, 0, 0).finish(), what: () => `delete link ${link}` };
}

/** One device; undefined when there is none. */
export function getLink(netlink: Netlink, link: LinkRef): Link | undefined {
  const payload = linkMessage(link, 0, 0).finish();
  const messages = found(() =>
    netlink.request({ type: RTM_GETLINK, payload, what: () => `get link ${link}` }),
  );
  return messages?.[0] && decodeLink(messages[0]);
}

/** The device's index. @throws WeftError E_NO_LINK when there is none of that name */
export function linkIndex(netlink: Netlink, name: string): number {
  const link = getLink(netlink, name);
  if (link === undefined) throw new WeftError("E_NO_LINK", `there is no network device ${name}`);
  return link.index;
}

/** Every device of the namespace. */
export function listLinks(netlink: Netlink): Link[] {
  const payload = ifinfomsg(new MessageWriter(), 0).finish();
  return netlink.dump({ type: RTM_GETLINK, payload, what: () => "list links" }).map(decodeLink);
}

function ifinfomsg(writer: MessageWriter, index: number, flags = 0, mask = 0): MessageWriter {
  return writer.u8(0).u8(0).u16(0).u32(index).u32(flags).u32(mask);
}

/** `renamed`: a device that gets a new name can only be told by its index. */
function linkMessage(link: LinkRef, flags: number, mask: number, renamed = false): MessageWriter {
  if (typeof link === "number") {
    if (!Number.isInteger(link) || link <= 0)
      throw new WeftError("E_NO_LINK", `${link} is not a device index`);
    return ifinfomsg(new MessageWriter(), link, flags, mask);
  }
  if (renamed) throw new WeftError("E_NO_LINK", `to rename ${link} give its index`);
  return ifinfomsg(new MessageWriter(), 0, flags, mask).attributeString(IFLA_IFNAME, checkedName(link));
}

/** IFNAMSIZ is 16 with the zero byte; the kernel would report a longer name only as "invalid argument". */
function checkedName(name: string): string {
  if (!/^[^\s/:\0]{1,15}$/.test(name) || name === "." || name === "..") {
    throw new WeftError("E_LINK_NAME", `"${name}" is not a name for a network device`);
  }
  return name;
}

function found<T>(fn: () => T): T | undefined {
  try {
    return fn();
  } catch (error) {
    if (hasErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

function withNetns<T>(netns: NetnsRef | undefined, fn: (fd: number | undefined) => T): T {
  if (typeof netns !== "string") return fn(netns);
  const fd = openNetns(netns);
  try {
    return fn(fd);
  } finally {
    closeSync(fd);
  }
}

function decodeLink({ payload }: Message): Link {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const flags = view.getUint32(8, LITTLE_ENDIAN);
  const attributes = decodeAttributes(payload, 16);
  const info = nestedOf(attributes, IFLA_LINKINFO);
  const kind = textOf(info, IFLA_INFO_KIND);
  const mac = attributes.get(IFLA_ADDRESS);
  const master = numberOf(attributes, IFLA_MASTER);
  const peer = kind === "veth" ? numberOf(attributes, IFLA_LINK) : undefined;
  const alias = textOf(attributes, IFLA_IFALIAS);
  const data = kind === "vxlan" ? nestedOf(info, IFLA_INFO_DATA) : undefined;
  const port = data?.get(IFLA_VXLAN_PORT);
  return {
    index: view.getInt32(4, LITTLE_ENDIAN),
    name: textOf(attributes, IFLA_IFNAME) ?? "",
    mtu: numberOf(attributes, IFLA_MTU) ?? 0,
    up: (flags & IFF_UP) !== 0,
    operational: numberOf(attributes, IFLA_OPERSTATE) === IF_OPER_UP,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    noArp: (flags & IFF_NOARP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    ...(kind !== undefined && { kind }),
    ...(mac !== undefined && mac.length > 0 && { mac: macText(mac) }),
    ...(master !== undefined && { master }),
    ...(peer !== undefined && { peer }),
    ...(alias !== undefined && { alias }),
    ...(data !== undefined && {
      vxlan: {
        port: port === undefined ? 0 : (port[0]! << 8) | port[1]!,
        external: numberOf(data, IFLA_VXLAN_COLLECT_METADATA) === 1,
      },
    }),
  };
}
