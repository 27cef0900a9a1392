// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import { hasErrno } from "#kernel/errno.ts";
import { MessageWriter } from "#kernel/netlink/codec.ts";
import {
  type Netlink,
  type NetlinkRequest,
  NLM_F_CREATE,
  NLM_F_EXCL,
  openNetlink,
} from "#kernel/netlink/handle.ts";
import {
  decodeLink,
  encodeChange,
  encodeNewLink,
  encodeRef,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_NET_NS_FD,
  IFLA_VXLAN_COLLECT_METADATA,
  IFLA_VXLAN_LEARNING,
  IFLA_VXLAN_PORT,
  IFLA_VXLAN_UDP_ZERO_CSUM6_RX,
  VETH_INFO_PEER,
} from "#kernel/netlink/link-codec.ts";
import type { Link, LinkChange, LinkRef, NewLink } from "#kernel/netlink/link-fields.ts";
import { type NetnsRef, openNetns } from "#kernel/netns.ts";
import { WeftError } from "#lib/errors.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;

/** Makes a veth pair, the peer directly in another namespace when one is given. @throws KernelError E_NETLINK, WeftError E_NETNS */
export function addVeth(
  netlink: Netlink,
  veth: NewLink & { readonly peer: NewLink & { readonly netns?: NetnsRef } },
): void {
  const { peer } = veth;
  withNetns(peer.netns, (fd) => {
    addLink(netlink, "veth", veth, (data) =>
      data.nested(VETH_INFO_PEER, (writer) => {
        encodeNewLink(writer, peer);
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
  const writer = encodeNewLink(new MessageWriter(), link);
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

/**
 * Changes a device. The link-local setting is made before the device comes up, the rest in one request.
 * @throws KernelError E_NETLINK (`ENODEV` when there is none)
 */
export function setLink(netlink: Netlink, link: LinkRef, change: LinkChange): void {
  const { linkLocal, netns, ...rest } = change;
  if (linkLocal !== undefined) set(netlink, link, encodeChange(link, { linkLocal }));
  if (netns === undefined && Object.keys(rest).length === 0) return;
  withNetns(netns, (fd) => set(netlink, link, encodeChange(link, rest, fd)));
}

function set(netlink: Netlink, link: LinkRef, payload: Uint8Array): void {
  netlink.request({ type: RTM_NEWLINK, payload, what: () => `set link ${link}` });
}

/** Deletes a device (a veth with its peer). True when it existed. @throws KernelError E_NETLINK */
export function deleteLink(netlink: Netlink, link: LinkRef): boolean {
  return found(() => netlink.request(deletion(link))) !== undefined;
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
  return { type: RTM_DELLINK, payload: encodeRef(link), what: () => `delete link ${link}` };
}

/** One device; undefined when there is none. */
export function getLink(netlink: Netlink, link: LinkRef): Link | undefined {
  const payload = encodeRef(link);
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
  const payload = encodeRef();
  return netlink.dump({ type: RTM_GETLINK, payload, what: () => "list links" }).map(decodeLink);
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
