// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "#agent/config.ts";
import type { AgentPaths } from "#agent/paths.ts";
import { type Datapath, loadDatapath } from "#datapath/load.ts";
import { natSeed } from "#datapath/nat-table.ts";
import { type NodeSettings, nodeConfigBytes } from "#datapath/node-config.ts";
import { shortcutPlaces } from "#datapath/shortcuts.ts";
import { netnsCookie } from "#kernel/socket.ts";
import type { Logger } from "#lib/log.ts";
import { type Family, family, type Prefix } from "#model/ip.ts";
import { type Node, nodeAddress } from "#nodes/node.ts";
import { readEarlierSlots, writeEarlierSlots } from "#services/earlier-slots.ts";
import type { NodeDevices } from "./agent-devices.ts";
import { mapSizes } from "./agent-map-sizes.ts";
import { egressGatewayOf } from "./agent-settings.ts";

export interface ProgramsDeps {
  readonly config: AgentConfig;
  readonly paths: AgentPaths;
  readonly node: Node;
  readonly devices: NodeDevices;
  readonly dsrDispatch: NodeSettings["dsrDispatch"];
  /** Connections between pods may go past the network. */
  readonly accelerates: boolean;
  readonly log: Logger;
}

/** The node's programs and maps, with what an earlier agent left in maps of another shape. Nothing is attached yet. */
export function loadPrograms(deps: ProgramsDeps): Datapath {
  const { config, paths, devices, accelerates, log } = deps;
  const earlierSlots = readEarlierSlots(paths.maps);
  const datapath = loadDatapath({
    mapsDir: paths.maps,
    accelerate: accelerates,
    maxEntries: mapSizes(config),
    log,
    overlay: devices.overlayIfindex !== undefined,
    xdp: devices.balanced.length > 0,
    config: nodeConfigBytes(nodeSettings(deps)),
  });
  writeEarlierSlots(datapath.map("lb_slots"), earlierSlots);
  return datapath;
}

/** What the programs are told of their node. */
function nodeSettings({ config, paths, node, devices, dsrDispatch }: ProgramsDeps): NodeSettings {
  const { device, routers, natPorts, overlayIfindex = 0 } = devices;
  const native = (of: Family): Prefix | undefined =>
    config.nativeRoutingCidrs.find((cidr) => family(cidr) === of);
  const xdp = devices.balanced.length > 0;
  return {
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
    xdp,
    genericXdp: xdp && config.xdp.mode !== "native",
    hostNetns: netnsCookie(),
    natSeed: natSeed(paths.maps),
    deviceIfindex: device.index,
    tunnelIfindex: config.routing === "tunnel" ? overlayIfindex : 0,
    overlayIfindex,
    egressGateway: egressGatewayOf(config),
    ...(device.mac !== undefined && { deviceMac: device.mac }),
    mtu: device.mtu,
    shortcuts: shortcutPlaces(),
    natPorts,
  };
}
