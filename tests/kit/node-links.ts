// SPDX-License-Identifier: Apache-2.0
/** What is around a packet test's programs: the node's device and links, and its configuration. */
import { ConfigFlag } from "#datapath/layouts/enums.ts";
import type { NodeConfig } from "#datapath/layouts/node-config.ts";
import { addAddress } from "#kernel/netlink/address.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { addVeth, linkIndex, setLink } from "#kernel/netlink/link.ts";
import { replaceNeighbour } from "#kernel/netlink/neighbour.ts";
import { addRoute } from "#kernel/netlink/route.ts";
import { inNetns } from "#kernel/netns.ts";
import { writeSysctl } from "#kernel/sysctl.ts";
import { family, parseAddress, parsePrefix } from "#model/ip.ts";

type Ends = Readonly<Record<"node" | "router" | "gateway" | "otherNode", string>>;

/** Of both families. */
export interface NodeAddresses {
  readonly v4: Ends;
  readonly v6: Ends;
}

/** How many pods a node has room for. */
export const POD_LINKS = 3;
/** Connections at XDP that each CPU has room for. */
export const SHORTCUTS = 256;
/** Of the hash of mappings. */
export const NAT_SEED = 0x1234_5678_9abc_def1n;
/** Whom frames are addressed to that say nothing else. */
const DEVICE_MAC = "02:00:00:00:00:bb";

/** Of a node with everything on. */
export function defaultConfig(at: NodeAddresses, routing: "tunnel" | "native", device: number): NodeConfig {
  return {
    nodeV4: parseAddress(at.v4.node),
    nodeV6: parseAddress(at.v6.node),
    routerV4: parseAddress(at.v4.router),
    routerV6: parseAddress(at.v6.router),
    nativeV4: parseAddress("10.0.0.0"),
    nativeV6: parseAddress("fd00:10::"),
    nativeV4Bits: routing === "native" ? 16 : 0,
    nativeV6Bits: routing === "native" ? 48 : 0,
    tunnelIfindex: routing === "tunnel" ? device : 0,
    overlayIfindex: device,
    deviceIfindex: device,
    flags:
      ConfigFlag.ipv4 |
      ConfigFlag.ipv6 |
      ConfigFlag.masqueradeV4 |
      ConfigFlag.masqueradeV6 |
      ConfigFlag.flows |
      ConfigFlag.refuse |
      ConfigFlag.egressGateway,
    eventIntervalSec: 5,
    worldV4: 9,
    worldV6: 10,
    shortcuts: SHORTCUTS,
    natPortMin: 61_000,
    natPortMax: 65_535,
    mtu: 1500,
    deviceMac: DEVICE_MAC,
    hostNetns: 1n,
    natSeed: NAT_SEED,
  };
}

/** A device with the node's addresses, a gateway and another node beyond it, and links of pods. */
export function makeLinks(at: NodeAddresses, netns: string): { device: number; pods: number[] } {
  using netlink = openNetlink({ netns });
  const make = (name: string, mac?: string) => {
    addVeth(netlink, { name, ...(mac && { mac }), peer: { name: `${name}p` } });
    setLink(netlink, name, { up: true });
    setLink(netlink, `${name}p`, { up: true });
    return linkIndex(netlink, name);
  };
  const device = make("dev0", DEVICE_MAC);
  const pods = Array.from({ length: POD_LINKS }, (_, i) => make(`pod${i + 1}`));
  inNetns(netns, () => {
    writeSysctl("net.ipv4.ip_forward", "1");
    writeSysctl("net.ipv6.conf.all.forwarding", "1");
  });
  for (const { node, gateway, otherNode } of [at.v4, at.v6]) {
    const v6 = family(parseAddress(node)) === 6;
    addAddress(netlink, { link: device, address: parseAddress(node), bits: v6 ? 64 : 24, noDad: true });
    addRoute(netlink, {
      dst: parsePrefix(v6 ? "::/0" : "0.0.0.0/0"),
      link: device,
      gateway: parseAddress(gateway),
    });
    addRoute(netlink, {
      dst: parsePrefix(v6 ? "fd00:10:0:2::/64" : "10.0.2.0/24"),
      link: device,
      gateway: parseAddress(otherNode),
    });
    replaceNeighbour(netlink, { link: device, address: parseAddress(gateway), mac: "02:00:00:00:00:01" });
    replaceNeighbour(netlink, { link: device, address: parseAddress(otherNode), mac: "02:00:00:00:00:02" });
  }
  return { device, pods };
}
