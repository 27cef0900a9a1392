// SPDX-License-Identifier: Apache-2.0
import { addAddress } from "#kernel/netlink/address.ts";
import { type Netlink, openNetlink } from "#kernel/netlink/handle.ts";
import { addBridge, addVeth, linkIndex, setLink } from "#kernel/netlink/link.ts";
import { addRoute } from "#kernel/netlink/route.ts";
import { createNetns, netnsPath } from "#kernel/netns.ts";
import { type Address, family, parsePrefix } from "#model/ip.ts";
import { BRIDGE, fabricBits, type LabPlan, type NodePlan, WORLD } from "./layout.ts";

const MTU = 1500;
const everything = { 4: parsePrefix("0.0.0.0/0"), 6: parsePrefix("::/0") } as const;

/**
 * The lab's wire: one namespace for the outside with a bridge, one per node with `eth0` on that bridge. The outside is
 * the nodes' default gateway and holds every other address there is (a local route to everything), so that whatever
 * policy lets out finds an answer.
 */
export function createFabric(plan: LabPlan): void {
  createNetns(WORLD);
  using world = openNetlink({ netns: netnsPath(WORLD) });
  const lo = linkIndex(world, "lo");
  setLink(world, lo, { up: true });
  addBridge(world, { name: BRIDGE, mtu: MTU });
  const bridge = linkIndex(world, BRIDGE);
  setLink(world, bridge, { up: true });
  for (const address of plan.gateways) {
    addAddress(world, { link: bridge, address, bits: fabricBits(address), noDad: true });
    addRoute(world, { dst: everything[family(address)], link: lo, type: "local" });
  }
  for (const node of plan.nodes) addNode(world, bridge, plan, node);
}

function addNode(world: Netlink, bridge: number, plan: LabPlan, node: NodePlan): void {
  const netns = createNetns(node.netns);
  addVeth(world, { name: node.name, mtu: MTU, peer: { name: "eth0", mtu: MTU, netns } });
  setLink(world, node.name, { up: true, master: bridge });
  using inside = openNetlink({ netns });
  setLink(inside, "lo", { up: true });
  const eth0 = linkIndex(inside, "eth0");
  setLink(inside, eth0, { up: true });
  for (const address of node.addresses)
    addAddress(inside, { link: eth0, address, bits: fabricBits(address), noDad: true });
  for (const gateway of plan.gateways)
    addRoute(inside, { dst: everything[family(gateway)], link: eth0, gateway });
  // A service address that is nobody's is not the outside's either.
  for (const dst of plan.serviceCidrs) addRoute(inside, { dst, type: "unreachable" });
}

/** The outside's address of one family, where the API server answers the nodes. */
export function gatewayOf(plan: LabPlan, like: Address): Address {
  return plan.gateways.find((gateway) => family(gateway) === family(like)) ?? plan.gateways[0]!;
}
