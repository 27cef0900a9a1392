// SPDX-License-Identifier: Apache-2.0
import { ReservedIdentity } from "#model/identity.ts";
import { type Address, type Prefix, prefixAddress, prefixBits } from "#model/ip.ts";
import { ConfigFlag } from "./layouts/enums.ts";
import { type NodeConfig, nodeConfigLayout } from "./layouts/node-config.ts";

/** What the programs are told of their node. */
export interface NodeSettings {
  readonly addresses: { readonly v4: Address | undefined; readonly v6: Address | undefined };
  readonly routers: { readonly v4: Address | undefined; readonly v6: Address | undefined };
  readonly native: { readonly v4: Prefix | undefined; readonly v6: Prefix | undefined };
  readonly families: "v4" | "v6" | "dual";
  readonly masquerade: boolean;
  readonly flows: boolean;
  /** Tell who asks for a service without backends; else say nothing. */
  readonly refuse: boolean;
  /** Tell pods by ICMP what their egress policy denies. */
  readonly denyIcmp: boolean;
  /** Policies may select the node itself. */
  readonly hostFirewall: boolean;
  /** How a backend's node is told of the frontend under direct server return. */
  readonly dsrDispatch: "option" | "ipip" | "geneve";
  /** XDP runs before traffic control on the node's device. */
  readonly xdp: boolean;
  /** XDP may run in the stack, before traffic control. */
  readonly genericXdp: boolean;
  /** Cookie of the node's network namespace. */
  readonly hostNetns: bigint;
  /** See `natSeed`. */
  readonly natSeed: bigint;
  readonly deviceIfindex: number;
  /** Absent: a device without link-layer addresses. */
  readonly deviceMac?: string;
  /** 0: native routing. */
  readonly tunnelIfindex: number;
  /** Of the tunnel's device, whatever the routing; 0: there is none. */
  readonly overlayIfindex: number;
  readonly egressGateway: boolean;
  readonly mtu: number;
  /** Places for each CPU: {@link shortcutPlaces}. */
  readonly shortcuts: number;
  /** See {@link natPorts}. */
  readonly natPorts: PortRange;
}

export interface PortRange {
  readonly min: number;
  readonly max: number;
}

/**
 * Source ports of masquerade and NodePort, given those the kernel hands to sockets (`ip_local_port_range`), of which it is to hand out these
 * no more: IANA's dynamic ports (RFC 6335), but at most the upper half of the kernel's.
 */
export function natPorts(kernel: PortRange): PortRange {
  const half = Math.ceil((kernel.min + Math.min(kernel.max, 65_535)) / 2) + 1;
  return { min: Math.min(Math.max(49_152, half), 65_535), max: 65_535 };
}

/** A busy flow is reported at most this often per direction. */
const eventIntervalSec = 5;

/** Bytes of `struct node_config`. */
export function nodeConfigBytes(node: NodeSettings): Uint8Array {
  const v4 = node.families !== "v6";
  const v6 = node.families !== "v4";
  const dual = node.families === "dual";
  const flag = (on: boolean, value: number) => (on ? value : 0);
  const config: NodeConfig = {
    nodeV4: node.addresses.v4,
    nodeV6: node.addresses.v6,
    routerV4: node.routers.v4,
    routerV6: node.routers.v6,
    nativeV4: node.native.v4 && prefixAddress(node.native.v4),
    nativeV6: node.native.v6 && prefixAddress(node.native.v6),
    nativeV4Bits: node.native.v4 ? prefixBits(node.native.v4) : 0,
    nativeV6Bits: node.native.v6 ? prefixBits(node.native.v6) : 0,
    tunnelIfindex: node.tunnelIfindex,
    overlayIfindex: node.overlayIfindex,
    deviceIfindex: node.deviceIfindex,
    flags:
      flag(v4, ConfigFlag.ipv4) |
      flag(v6, ConfigFlag.ipv6) |
      flag(v4 && node.masquerade, ConfigFlag.masqueradeV4) |
      flag(v6 && node.masquerade, ConfigFlag.masqueradeV6) |
      flag(node.flows, ConfigFlag.flows) |
      flag(node.refuse, ConfigFlag.refuse) |
      flag(node.denyIcmp, ConfigFlag.denyIcmp) |
      flag(node.hostFirewall, ConfigFlag.hostFirewall) |
      flag(node.egressGateway, ConfigFlag.egressGateway) |
      flag(node.dsrDispatch === "ipip", ConfigFlag.dsrIpip) |
      flag(node.dsrDispatch === "geneve", ConfigFlag.dsrGeneve) |
      flag(node.xdp, ConfigFlag.xdp) |
      flag(node.genericXdp, ConfigFlag.genericXdp),
    eventIntervalSec,
    worldV4: dual ? ReservedIdentity.worldV4 : ReservedIdentity.world,
    worldV6: dual ? ReservedIdentity.worldV6 : ReservedIdentity.world,
    shortcuts: node.shortcuts,
    natPortMin: node.natPorts.min,
    natPortMax: node.natPorts.max,
    mtu: node.mtu,
    deviceMac: node.deviceMac ?? "00:00:00:00:00:00",
    hostNetns: node.hostNetns,
    natSeed: node.natSeed,
  };
  const bytes = new Uint8Array(nodeConfigLayout.size);
  nodeConfigLayout.write(new DataView(bytes.buffer), 0, config);
  return bytes;
}
