// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from "node:fs";
import type { AgentConfig } from "#agent/config.ts";
import type { AgentPaths } from "#agent/paths.ts";
import { accelerationProblem } from "#datapath/accelerate-probe.ts";
import { attachNode, attachSockets } from "#datapath/attach.ts";
import type { AttachTarget } from "#datapath/attach-target.ts";
import { attachBalancer } from "#datapath/attach-xdp.ts";
import { BeforeRecord } from "#datapath/before.ts";
import {
  deviceOfAddress,
  ensureTunnel,
  nodeNatPorts,
  prepareForwarding,
  removeTunnel,
  tunnelDevice,
  tunnelOverhead,
} from "#datapath/devices.ts";
import { type Datapath, loadDatapath } from "#datapath/load.ts";
import { natSeed } from "#datapath/nat-table.ts";
import { type NodeSettings, nodeConfigBytes } from "#datapath/node-config.ts";
import { shortcutPlaces } from "#datapath/shortcuts.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import { getLink } from "#kernel/netlink/link.ts";
import type { Link } from "#kernel/netlink/link-fields.ts";
import { netnsCookie } from "#kernel/socket.ts";
import { WeftError } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { type Address, type Family, family, type Prefix } from "#model/ip.ts";
import { type Node, nodeAddress, routerAddress } from "#nodes/node.ts";
import { Prefilter } from "#prefilter/prefilter.ts";
import { readEarlierSlots, writeEarlierSlots } from "#services/earlier-slots.ts";
import { ensureBpffs, socketCgroup } from "./agent-host.ts";
import { mapSizes } from "./agent-map-sizes.ts";

/** The node's share of the datapath, loaded and attached. */
export interface NodeDatapath {
  readonly datapath: Datapath;
  readonly prefilter: Prefilter;
  readonly target: AttachTarget;
  readonly device: Link;
  readonly tunnelIfindex: number;
  /** Names of the node's devices by index, for flows. */
  readonly interfaces: ReadonlyMap<number, string>;
  /** Connections between pods may go past the network. */
  readonly accelerates: boolean;
  /** Why they may not, although they should. */
  readonly accelerationProblem: string | undefined;
  /** Of pods' devices, in bytes. */
  readonly podMtu: number;
  readonly underlay: Address;
  /** What the node's own packets to its pods carry: the router's address under tunnel routing, the node's under native. */
  readonly sources: { readonly v4: Address | undefined; readonly v6: Address | undefined };
}

export interface NodeDatapathDeps {
  readonly config: AgentConfig;
  readonly paths: AgentPaths;
  readonly node: Node;
  readonly netlink: Netlink;
  readonly log: Logger;
}

export function familiesOf(config: Pick<AgentConfig, "families">): Family[] {
  return config.families === "dual" ? [4, 6] : [config.families === "v4" ? 4 : 6];
}

/** Whether pods may leave by other nodes: where there is a tunnel anyway, unless the configuration says otherwise. */
export function egressGatewayOf({
  egressGateway,
  routing,
}: Pick<AgentConfig, "egressGateway" | "routing">): boolean {
  return egressGateway ?? routing === "tunnel";
}

/** How direct server return goes. @throws WeftError E_CONFIG where that has no way to the backends */
export function dsrDispatchOf({
  services,
  routing,
}: Pick<AgentConfig, "services" | "routing">): NodeSettings["dsrDispatch"] {
  if (services.dsrDispatch !== "ipip" || routing === "native") return services.dsrDispatch;
  throw new WeftError("E_CONFIG", "services.dsrDispatch: ipip needs routing: native", {
    hint: "pods' addresses lead nowhere outside the tunnel; set `services.dsrDispatch: option`, which goes through it, or `geneve`, which goes beside it",
  });
}

/** Devices, sysctls, programs, links: everything of the kernel that is the node's and not a pod's. */
export function startNodeDatapath(deps: NodeDatapathDeps): NodeDatapath {
  const { config, paths, node, netlink, log } = deps;
  const dsrDispatch = dsrDispatchOf(config);
  const before = new BeforeRecord(paths.before, log);
  ensureBpffs(config, { before, log });
  mkdirSync(paths.maps, { recursive: true });
  const underlay = node.addresses[0];
  if (!underlay) throw new WeftError("E_NODE", `Node ${node.name} has no address`);
  const device =
    config.device === undefined ? deviceOfAddress(netlink, underlay) : namedDevice(netlink, config.device);
  const natPorts = nodeNatPorts();
  prepareForwarding(device.name, natPorts, (name, value) => before.sysctl(name, value));
  const families = familiesOf(config);
  const serves = (of: Family) => families.includes(of);
  const routers = {
    v4: serves(4) ? routerAddress(node, 4) : undefined,
    v6: serves(6) ? routerAddress(node, 6) : undefined,
  };
  const tunnel = config.routing === "tunnel";
  const egressGateway = egressGatewayOf(config);
  const overlay = tunnel || egressGateway;
  const podMtu = overlay ? device.mtu - tunnelOverhead(underlay) : device.mtu;
  // Under native routing the routers' addresses are nobody's.
  const ends = tunnel ? [routers.v4, routers.v6].filter((address) => address !== undefined) : [];
  const overlayIfindex = overlay ? ensureTunnel(netlink, podMtu, ends).index : 0;
  if (!overlay) removeTunnel(netlink);
  const native = (of: Family): Prefix | undefined =>
    config.nativeRoutingCidrs.find((cidr) => family(cidr) === of);
  const balanced = xdpDevices(config, { netlink, device, log });
  const acceleration = accelerationOf(config, log);
  const earlierSlots = readEarlierSlots(paths.maps);
  const datapath = loadDatapath({
    mapsDir: paths.maps,
    accelerate: acceleration.accelerates,
    maxEntries: mapSizes(config),
    log,
    overlay,
    xdp: balanced.length > 0,
    config: nodeConfigBytes({
      addresses: { v4: nodeAddress(node, 4), v6: nodeAddress(node, 6) },
      routers,
      native: { v4: native(4), v6: native(6) },
      families: config.families,
      masquerade: config.masquerade,
      flows: config.flows,
      refuse: config.services.withoutBackends === "refuse",
      denyIcmp: config.policy.denyResponse === "icmp",
      hostFirewall: config.hostFirewall.enabled,
      dsrDispatch,
      xdp: balanced.length > 0,
      genericXdp: balanced.length > 0 && config.xdp.mode !== "native",
      hostNetns: netnsCookie(),
      natSeed: natSeed(paths.maps),
      deviceIfindex: device.index,
      tunnelIfindex: tunnel ? overlayIfindex : 0,
      overlayIfindex,
      egressGateway,
      ...(device.mac !== undefined && { deviceMac: device.mac }),
      mtu: device.mtu,
      shortcuts: shortcutPlaces(),
      natPorts,
    }),
  });
  writeEarlierSlots(datapath.map("lb_slots"), earlierSlots);
  // Before the programs are attached: after a restart of the machine no denied packet gets through meanwhile.
  const prefilter = new Prefilter({ map: (name) => datapath.map(name), file: paths.prefilter, log });
  const interfaces = new Map([[device.index, device.name]]);
  if (overlay) interfaces.set(overlayIfindex, tunnelDevice);
  const target = { datapath, linksDir: paths.links, netlink, log };
  attachNode(target, {
    ifindex: device.index,
    tunnelIfindex: overlayIfindex,
    announces: config.l2Announcements.enabled,
  });
  attachBalancer(
    target,
    balanced.map(({ name, index }) => ({ name, ifindex: index })),
    config.xdp.mode,
  );
  using cgroup = socketCgroup(config, log);
  attachSockets(target, cgroup.path);
  log.info(
    {
      device: device.name,
      routing: config.routing,
      tunnel: overlay ? tunnelDevice : undefined,
      podMtu,
      xdp: balanced.map(({ name }) => name),
    },
    "datapath attached",
  );
  const sources = tunnel
    ? routers
    : { v4: serves(4) ? nodeAddress(node, 4) : undefined, v6: serves(6) ? nodeAddress(node, 6) : undefined };
  const tunnelIfindex = overlayIfindex;
  return {
    datapath,
    prefilter,
    target,
    device,
    tunnelIfindex,
    interfaces,
    ...acceleration,
    podMtu,
    underlay,
    sources,
  };
}

/** A kernel on which connections past the network would not be sound has none; the node works all the same. */
function accelerationOf(
  config: Pick<AgentConfig, "acceleration">,
  log: Logger,
): Pick<NodeDatapath, "accelerates" | "accelerationProblem"> {
  if (config.acceleration.sockmap === "off") return { accelerates: false, accelerationProblem: undefined };
  const problem = accelerationProblem();
  if (problem === undefined) return { accelerates: true, accelerationProblem: undefined };
  const hint = "run Linux 6.14 or newer, or set `acceleration.sockmap: off`";
  log.error({ problem, hint }, "acceleration.sockmap is refused; connections go through the network");
  return { accelerates: false, accelerationProblem: problem };
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
