// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "#agent/config.ts";
import type { BeforeRecord } from "#datapath/before.ts";
import {
  deviceOfAddress,
  ensureTunnel,
  nodeNatPorts,
  prepareForwarding,
  removeTunnel,
  tunnelOverhead,
} from "#datapath/devices.ts";
import type { PortRange } from "#datapath/node-config.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import { getLink } from "#kernel/netlink/link.ts";
import type { Link } from "#kernel/netlink/link-fields.ts";
import { WeftError } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Address } from "#model/ip.ts";
import { type Node, routerAddress } from "#nodes/node.ts";
import { egressGatewayOf, familiesOf } from "./agent-settings.ts";

export interface NodeDevicesDeps {
  readonly config: AgentConfig;
  readonly node: Node;
  readonly netlink: Netlink;
  readonly log: Logger;
}

/** What of the node's devices the programs are told and attached to. */
export interface NodeDevices {
  readonly device: Link;
  readonly underlay: Address;
  readonly natPorts: PortRange;
  /** Of the families that are served. */
  readonly routers: { readonly v4: Address | undefined; readonly v6: Address | undefined };
  /** Of the tunnel's device, which egress gateways need under native routing, too; undefined: there is none. */
  readonly overlayIfindex: number | undefined;
  /** Of pods' devices, in bytes. */
  readonly podMtu: number;
  /** Those whose packets the balancer sees first. */
  readonly balanced: readonly Link[];
}

/** Finds the node's device, lets it forward, and makes or removes the tunnel. @throws WeftError E_NODE, E_DEVICE, E_XDP */
export function prepareDevices(deps: NodeDevicesDeps, before: BeforeRecord): NodeDevices {
  const { config, node, netlink, log } = deps;
  const underlay = node.addresses[0];
  if (!underlay) throw new WeftError("E_NODE", `Node ${node.name} has no address`);
  const device =
    config.device === undefined ? deviceOfAddress(netlink, underlay) : namedDevice(netlink, config.device);
  const natPorts = nodeNatPorts();
  prepareForwarding(device.name, natPorts, (name, value) => before.sysctl(name, value));
  const families = familiesOf(config);
  const routers = {
    v4: families.includes(4) ? routerAddress(node, 4) : undefined,
    v6: families.includes(6) ? routerAddress(node, 6) : undefined,
  };
  const tunnel = config.routing === "tunnel";
  const overlay = tunnel || egressGatewayOf(config);
  const podMtu = overlay ? device.mtu - tunnelOverhead(underlay) : device.mtu;
  // Under native routing the routers' addresses are nobody's.
  const ends = tunnel ? [routers.v4, routers.v6].filter((address) => address !== undefined) : [];
  const overlayIfindex = overlay ? ensureTunnel(netlink, podMtu, ends).index : undefined;
  if (!overlay) removeTunnel(netlink);
  const balanced = xdpDevices(config, { netlink, device, log });
  return { device, underlay, natPorts, routers, overlayIfindex, podMtu, balanced };
}

function namedDevice(netlink: Netlink, name: string): Link {
  const link = getLink(netlink, name);
  if (!link)
    throw new WeftError("E_DEVICE", `there is no network device ${name}`, {
      hint: "set `device:` in the agent's configuration",
    });
  return link;
}

/**
 * The devices of the node whose packets the balancer sees first. What it leaves goes on to traffic control, which only the node's own device
 * has. @throws WeftError E_XDP
 */
function xdpDevices(
  config: Pick<AgentConfig, "xdp">,
  { netlink, device, log }: { netlink: Netlink; device: Link; log: Logger },
): Link[] {
  const there = config.xdp.devices.flatMap((name) => getLink(netlink, name) ?? []);
  const other = there.find(({ index }) => index !== device.index);
  if (other)
    throw new WeftError("E_XDP", `device ${other.name} is not the node's, which is ${device.name}`, {
      hint: "name in `xdp.devices` only devices that carry the node's address, or set `device:`",
    });
  if (config.xdp.devices.length > 0 && there.length === 0)
    log.warn({ devices: config.xdp.devices }, "the node has none of the devices that `xdp.devices` names");
  return [...new Map(there.map((link) => [link.index, link])).values()];
}
