// SPDX-License-Identifier: Apache-2.0

import { closeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { PodAddresses } from "#ipam/ipam.ts";
import { addAddress } from "#kernel/netlink/address.ts";
import { type Netlink, openNetlink } from "#kernel/netlink/handle.ts";
import { addVeth, getLink, setLink } from "#kernel/netlink/link.ts";
import { replaceNeighbour } from "#kernel/netlink/neighbour.ts";
import { addRoute, listRoutes, replaceRoute } from "#kernel/netlink/route.ts";
import { inNetns, netnsInode, openNetns } from "#kernel/netns.ts";
import { readSysctl, writeSysctl } from "#kernel/sysctl.ts";
import { type Address, family, hostPrefix, type Prefix } from "#model/ip.ts";
import type { CniNode } from "./deps.ts";
import { CniError } from "./errors.ts";
import { routeProtocol } from "./names.ts";
import { GATEWAY_V4, GATEWAY_V6 } from "./result.ts";

/** The kernel takes a second at worst. */
const OPERATIONAL_TIMEOUT_MS = 3000;
/** Routing table of the namespace's own addresses. */
const LOCAL_TABLE = 255;

/** The two ends of a pod's veth. */
export interface Wire {
  readonly ifname: string;
  /** Open fd of the pod's network namespace. */
  readonly netns: number;
  readonly hostIfname: string;
  readonly mac: string;
  readonly hostMac: string;
  readonly mtu: number;
}

/** Makes the veth pair, the pod's end in the pod, the host's end down. Returns the host side's index. @throws CniError alreadyAttached; KernelError */
export function makePair(node: Netlink, pod: Netlink, wire: Wire): number {
  if (getLink(pod, wire.ifname) !== undefined) {
    throw new CniError(
      "alreadyAttached",
      `CNI_IFNAME: the container has an interface ${wire.ifname} already`,
    );
  }
  addVeth(node, {
    name: wire.hostIfname,
    mac: wire.hostMac,
    mtu: wire.mtu,
    peer: { name: wire.ifname, mac: wire.mac, mtu: wire.mtu, netns: wire.netns },
  });
  const link = getLink(node, wire.hostIfname);
  if (link === undefined)
    throw new CniError("kernelRefused", `device ${wire.hostIfname} vanished while it was made`);
  return link.index;
}

/**
 * Configures the pod's end: one address per family with no subnet, a default route through the link-local gateway,
 * and the gateway's MAC address written down, so that neither ARP nor neighbour discovery is ever needed.
 */
export function wirePod(pod: Netlink, wire: Wire, addresses: PodAddresses): void {
  const link = getLink(pod, wire.ifname)?.index;
  if (link === undefined)
    throw new CniError("kernelRefused", `interface ${wire.ifname} vanished from the container`);
  if (addresses.v6 !== undefined) inNetns(wire.netns, () => enableIpv6(wire.ifname));
  setLink(pod, link, { linkLocal: false });
  setLink(pod, link, { up: true });
  setLink(pod, "lo", { up: true });
  for (const address of present(addresses)) {
    const gateway = gatewayOf(address);
    addAddress(pod, {
      link,
      address,
      bits: family(address) === 4 ? 32 : 128,
      noDad: true,
      noPrefixRoute: true,
    });
    addRoute(pod, { dst: defaultPrefix(address), link, gateway, onlink: true });
    replaceNeighbour(pod, { link, address: gateway, mac: wire.hostMac });
  }
}

/** Some runtimes make namespaces with IPv6 switched off. */
function enableIpv6(ifname: string): void {
  for (const name of ["lo", ifname]) {
    const parameter = `net/ipv6/conf/${name}/disable_ipv6`;
    if (readSysctl(parameter) !== "0") writeSysctl(parameter, 0);
  }
}

/** Brings the host's end up, with routes and neighbour entries for the pod's addresses. */
export function wireNode(
  netlink: Netlink,
  link: number,
  wire: Wire,
  options: { addresses: PodAddresses; node: CniNode },
): void {
  const { addresses, node } = options;
  const set = () => setHostSysctls(wire.hostIfname, addresses.v6 !== undefined);
  if (node.netns === undefined) set();
  else inNetns(node.netns, set);
  setLink(netlink, link, { linkLocal: false });
  setLink(netlink, link, { up: true });
  for (const address of present(addresses)) {
    const src = family(address) === 4 ? node.source?.v4 : node.source?.v6;
    // Replaced, not added: a route to a device that is just being deleted may still be there.
    replaceRoute(netlink, {
      dst: hostPrefix(address),
      link,
      protocol: routeProtocol,
      ...(family(address) === 4 && { scope: "link" }),
      ...(src !== undefined && { src }),
    });
    replaceNeighbour(netlink, { link, address, mac: wire.mac });
  }
}

/**
 * Resolves when the pod's end passes packets. Two things the kernel does in work items of its own, 0.3 ms to a few
 * after the host's end came up: it starts the device's queue, and it puts the IPv6 address into use (without duplicate
 * detection too). What comes before is dropped, and a lost first SYN costs the pod a second.
 * @throws CniError kernelRefused after 3 s; the signal's reason
 */
export async function waitOperational(
  pod: Netlink,
  ifname: string,
  addresses: PodAddresses,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + OPERATIONAL_TIMEOUT_MS;
  const { v6 } = addresses;
  while (getLink(pod, ifname)?.operational !== true || (v6 !== undefined && !isLocal(pod, v6))) {
    if (performance.now() > deadline)
      throw new CniError("kernelRefused", `interface ${ifname} does not come up`);
    await delay(1, undefined, { signal });
  }
}

function isLocal(pod: Netlink, address: Address): boolean {
  const dst = hostPrefix(address);
  return listRoutes(pod, { family: 6, table: LOCAL_TABLE }).some(
    (route) => route.dst === dst && route.type === "local",
  );
}

/** The pod is routed to, not bridged; BPF checks source addresses, and the kernel's check would drop redirected replies. */
function setHostSysctls(device: string, ipv6: boolean): void {
  writeSysctl(`net/ipv4/conf/${device}/rp_filter`, 0);
  writeSysctl(`net/ipv4/conf/${device}/forwarding`, 1);
  if (ipv6) writeSysctl(`net/ipv6/conf/${device}/accept_ra`, 0);
}

/**
 * Opens CNI_NETNS; the node's own namespace is no place for a pod's interface.
 * @throws CniError badEnvironment
 */
export function openPodNetns(path: string, hostProc?: string): number {
  const here = pathHere(path, hostProc);
  let fd: number;
  try {
    fd = openNetns(here);
  } catch (cause) {
    throw new CniError("badEnvironment", `CNI_NETNS: network namespace ${path} does not exist`, cause);
  }
  if (netnsInode(here) !== netnsInode("/proc/thread-self/ns/net")) return fd;
  closeSync(fd);
  throw new CniError("badEnvironment", `CNI_NETNS: ${path} is the node's own network namespace`);
}

/** The runtime names namespaces as the host sees them; an agent in a container has the host's /proc elsewhere. */
function pathHere(path: string, hostProc: string | undefined): string {
  if (hostProc !== undefined && path.startsWith("/proc/")) return hostProc + path.slice("/proc".length);
  // Only /run is mounted into the container, and not every image has /var/run as a link to it.
  return path.startsWith("/var/run/") ? path.slice("/var".length) : path;
}

/** A netlink handle for the pod's namespace. @throws CniError badEnvironment naming CNI_NETNS when it is none */
export function openPod(netns: number, path: string): Netlink {
  try {
    return openNetlink({ netns });
  } catch (cause) {
    throw new CniError(
      "badEnvironment",
      `CNI_NETNS: ${path} is not a network namespace, or no longer one`,
      cause,
    );
  }
}

export function present({ v4, v6 }: PodAddresses): Address[] {
  return [v4, v6].filter((address) => address !== undefined);
}

export function gatewayOf(address: Address): Address {
  return family(address) === 4 ? GATEWAY_V4 : GATEWAY_V6;
}

export function defaultPrefix(address: Address): Prefix {
  return (family(address) === 4 ? "0.0.0.0/0" : "::/0") as Prefix;
}
