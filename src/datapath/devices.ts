// SPDX-License-Identifier: Apache-2.0

import { deleteAddress, listAddresses, replaceAddress } from "#kernel/netlink/address.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import { addVxlan, deleteLink, getLink, setLink } from "#kernel/netlink/link.ts";
import type { Link } from "#kernel/netlink/link-fields.ts";
import { readSysctl, writeSysctl } from "#kernel/sysctl.ts";
import { WeftError } from "#lib/errors.ts";
import { type Address, family } from "#model/ip.ts";
import { natPorts, type PortRange } from "./node-config.ts";

/** The VXLAN device in external mode; VNI and remote node come with every packet. */
export const tunnelDevice = "weft_vxlan";
const vxlanPort = 8472;

/** Bytes that encapsulation adds: outer IP, UDP, VXLAN, inner Ethernet. */
export function tunnelOverhead(underlay: Address): number {
  return (family(underlay) === 4 ? 20 : 40) + 8 + 8 + 14;
}

/** The device that carries an address. @throws WeftError E_DEVICE */
export function deviceOfAddress(netlink: Netlink, address: Address): Link {
  const found = listAddresses(netlink).find((entry) => entry.address === address);
  const link = found && getLink(netlink, found.link);
  if (!link) {
    throw new WeftError("E_DEVICE", `no network device of this machine has the node's address ${address}`, {
      hint: "the Node's InternalIP must be an address of this machine; name the device with `device:` when it is not",
    });
  }
  return link;
}

/** Makes the tunnel device or adopts the one that is there; it holds the node's router addresses, and no others. */
export function ensureTunnel(netlink: Netlink, mtu: number, routers: readonly Address[]): Link {
  const before = getLink(netlink, tunnelDevice);
  if (before && before.kind !== "vxlan") deleteLink(netlink, tunnelDevice);
  if (before?.kind !== "vxlan") addVxlan(netlink, { name: tunnelDevice, mtu, port: vxlanPort });
  setLink(netlink, tunnelDevice, { mtu, noArp: true, up: true, linkLocal: false });
  const link = getLink(netlink, tunnelDevice)!;
  for (const found of listAddresses(netlink, link.index))
    if (!routers.includes(found.address)) deleteAddress(netlink, found);
  for (const address of routers) {
    replaceAddress(netlink, {
      link: link.index,
      address,
      bits: family(address) === 4 ? 32 : 128,
      noDad: true,
      noPrefixRoute: true,
    });
  }
  return link;
}

export function removeTunnel(netlink: Netlink): void {
  deleteLink(netlink, tunnelDevice);
}

/** Source ports of masquerade and NodePort on this node. @throws WeftError E_SYSCTL */
export function nodeNatPorts(): PortRange {
  const [min = 0, max = 0] = readSysctl("net.ipv4.ip_local_port_range").split(/\s+/).map(Number);
  return natPorts({ min, max });
}

/**
 * Settings of the node's namespace that forwarding between pods needs. `reserve` are taken out of the ports the kernel hands to sockets,
 * so translated connections never meet the node's own. `before` is told of each value that is changed.
 */
export function prepareForwarding(
  device: string,
  reserve: PortRange,
  before: (name: string, value: string) => void,
): void {
  const set = (name: string, value: string) => change(name, value, before);
  set("net.ipv4.ip_forward", "1");
  set("net.ipv4.conf.all.rp_filter", "0");
  set(`net/ipv4/conf/${device}/rp_filter`, "0");
  set("net.ipv6.conf.all.forwarding", "1");
  const range = `${reserve.min}-${reserve.max}`;
  const reserved = readSysctl("net.ipv4.ip_local_reserved_ports");
  if (!reserved.split(",").includes(range))
    set("net.ipv4.ip_local_reserved_ports", reserved ? `${reserved},${range}` : range);
}

/** A setting a kernel lacks (no IPv6) is left out. */
function change(name: string, value: string, before: (name: string, value: string) => void): void {
  let now: string;
  try {
    now = readSysctl(name);
  } catch {
    return;
  }
  if (now === value) return;
  before(name, now);
  writeSysctl(name, value);
}
