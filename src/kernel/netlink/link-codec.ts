// SPDX-License-Identifier: Apache-2.0
import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import {
  decodeAttributes,
  type Message,
  MessageWriter,
  nestedOf,
  numberOf,
  textOf,
} from "#kernel/netlink/codec.ts";
import type { Link, LinkChange, LinkRef, NewLink } from "#kernel/netlink/link-fields.ts";
import { macBytes, macText } from "#kernel/netlink/mac.ts";
import { AF_INET6 } from "#kernel/socket.ts";
import { WeftError } from "#lib/errors.ts";

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
export const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_AF_SPEC = 26;
export const IFLA_NET_NS_FD = 28;
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_EUI64 = 0;
const IN6_ADDR_GEN_MODE_NONE = 1;
const IF_OPER_UP = 6;
export const VETH_INFO_PEER = 1;
export const IFLA_VXLAN_LEARNING = 7;
export const IFLA_VXLAN_PORT = 15;
export const IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 20;
export const IFLA_VXLAN_COLLECT_METADATA = 25;

/** The body of a question about or the deletion of one device; without a reference: of all. */
export function encodeRef(link?: LinkRef): Uint8Array {
  return (link === undefined ? ifinfomsg(0) : linkMessage(link, 0, 0)).finish();
}

/** The body, or the peer's part, of a request for a new device. */
export function encodeNewLink(writer: MessageWriter, { name, mac, mtu }: NewLink): MessageWriter {
  ifinfomsg(0, 0, 0, writer).attributeString(IFLA_IFNAME, checkedName(name));
  if (mac !== undefined) writer.attribute(IFLA_ADDRESS, macBytes(mac));
  if (mtu !== undefined) writer.attributeU32(IFLA_MTU, mtu);
  return writer;
}

/** The body of a change; `netns` is the fd of the namespace to move to. */
export function encodeChange(link: LinkRef, change: Omit<LinkChange, "netns">, netns?: number): Uint8Array {
  const flags = (change.up === true ? IFF_UP : 0) | (change.noArp === true ? IFF_NOARP : 0);
  const mask = (change.up !== undefined ? IFF_UP : 0) | (change.noArp !== undefined ? IFF_NOARP : 0);
  if (typeof link === "string" && change.name !== undefined) {
    throw new WeftError("E_NO_LINK", `to rename ${link} give its index`);
  }
  const writer = linkMessage(link, flags, mask);
  if (change.name !== undefined) writer.attributeString(IFLA_IFNAME, checkedName(change.name));
  if (change.mac !== undefined) writer.attribute(IFLA_ADDRESS, macBytes(change.mac));
  if (change.mtu !== undefined) writer.attributeU32(IFLA_MTU, change.mtu);
  if (change.master !== undefined) writer.attributeU32(IFLA_MASTER, change.master);
  if (change.alias !== undefined) writer.attributeString(IFLA_IFALIAS, change.alias);
  if (netns !== undefined) writer.attributeU32(IFLA_NET_NS_FD, netns);
  if (change.linkLocal !== undefined) {
    const mode = change.linkLocal ? IN6_ADDR_GEN_MODE_EUI64 : IN6_ADDR_GEN_MODE_NONE;
    writer.nested(IFLA_AF_SPEC, () => {
      writer.nested(AF_INET6, () => writer.attributeU8(IFLA_INET6_ADDR_GEN_MODE, mode));
    });
  }
  return writer.finish();
}

/** struct ifinfomsg */
function ifinfomsg(index: number, flags = 0, mask = 0, writer = new MessageWriter()): MessageWriter {
  return writer.u8(0).u8(0).u16(0).u32(index).u32(flags).u32(mask);
}

function linkMessage(link: LinkRef, flags: number, mask: number): MessageWriter {
  if (typeof link === "string") {
    return ifinfomsg(0, flags, mask).attributeString(IFLA_IFNAME, checkedName(link));
  }
  if (!Number.isInteger(link) || link <= 0) throw new WeftError("E_NO_LINK", `${link} is not a device index`);
  return ifinfomsg(link, flags, mask);
}

/** IFNAMSIZ is 16 with the zero byte; the kernel would report a longer name only as "invalid argument". */
function checkedName(name: string): string {
  if (!/^[^\s/:\0]{1,15}$/.test(name) || name === "." || name === "..") {
    throw new WeftError("E_LINK_NAME", `"${name}" is not a name for a network device`);
  }
  return name;
}

/** @throws WeftError E_NETLINK_FORMAT */
export function decodeLink({ payload }: Message): Link {
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
