// SPDX-License-Identifier: Apache-2.0
import { hash32 } from "#lib/hash.ts";
import type { Node } from "#nodes/node.ts";
import { matches } from "#policy/selector.ts";
import type { EgressPolicy, GatewayChoice } from "./policy.ts";

/** A node that serves as a gateway. */
export interface Gateway {
  readonly node: Node;
  readonly choice: GatewayChoice;
}

/**
 * The gateways a policy has by now: of the nodes that an entry selects, the first by name that is ready and not about to go; when none is,
 * the first at all. Entries that no node fits are left out, entries that come to the same count once. Pure, and the same on every node.
 */
export function gatewaysOf(policy: EgressPolicy, nodes: readonly Node[]): Gateway[] {
  const found = new Map<string, Gateway>();
  for (const choice of policy.gateways) {
    const fit = nodes.filter(({ labels }) => matches(choice.nodes, labels)).sort(byName);
    const node = fit.find(isWell) ?? fit[0];
    if (node) found.set(`${node.name} ${choice.address ?? ""} ${choice.interface ?? ""}`, { node, choice });
  }
  return [...found.values()];
}

/**
 * The gateway of a pod: the one whose name and the pod's give the highest number, so that a gateway that goes or comes moves its own
 * share of the pods and no others. Undefined: there is none.
 */
export function gatewayFor(pod: string, gateways: readonly Gateway[]): Gateway | undefined {
  let best: { readonly gateway: Gateway; readonly rank: number } | undefined;
  for (const gateway of gateways) {
    const { node, choice } = gateway;
    const rank = hash32(`${pod}|${node.name}|${choice.address ?? ""}|${choice.interface ?? ""}`);
    if (!best || rank > best.rank) best = { gateway, rank };
  }
  return best?.gateway;
}

/** Whether a node may be a gateway as long as others are there too. */
export function isWell({ leaving, notReady }: Pick<Node, "leaving" | "notReady">): boolean {
  return !leaving && !notReady;
}

function byName(a: Node, b: Node): number {
  return a.name < b.name ? -1 : 1;
}
