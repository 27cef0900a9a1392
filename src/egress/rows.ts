// SPDX-License-Identifier: Apache-2.0
import { type Address, type Family, family, hostPrefix, type Prefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import { type Node, tunnelAddress } from "#nodes/node.ts";
import { matches } from "#policy/selector.ts";
import { type Destination, destinationsOf, ofFamily } from "./destinations.ts";
import { type Gateway, gatewayFor, gatewaysOf } from "./gateways.ts";
import type { EgressPolicy, GatewayChoice } from "./policy.ts";

/** A pod as far as its way out of the cluster goes. */
export interface EgressPod {
  /** `namespace/name`: what gateways are shared out by. */
  readonly name: string;
  readonly labels: Labels;
  readonly addresses: readonly Address[];
  /** Undefined: of a node nobody knows yet. */
  readonly node: Node | undefined;
}

/** Desired: how a pod leaves the cluster for a destination, as far as this node has to do with it. */
export interface EgressRow {
  readonly pod: string;
  readonly source: Address;
  readonly destination: Prefix;
  /** `gateway`: this node translates. `tunnel`: sent to the gateway. `none`: dropped, no node is the gateway. `excluded`: the usual way. */
  readonly way: "gateway" | "tunnel" | "none" | "excluded";
  /** "": excluded. */
  readonly policy: string;
  /** Name of the node; "": none. */
  readonly gateway: string;
  /** The other end of the tunnel: the gateway, or on the gateway the pod's node. Undefined: the pod is the gateway's own. */
  readonly node?: Address;
  /** On the gateway: what it translates to; undefined: it has no such address, and drops. */
  readonly address?: Address;
  /** What the policy says of the address: itself, or the device that has it. */
  readonly asked: string;
}

/** All that rows are made of beside the pods. */
export interface EgressWorld {
  readonly policies: readonly EgressPolicy[];
  readonly nodes: readonly Node[];
  /** Where API servers answer: of the cluster, wherever they are. */
  readonly apiServers: readonly Address[];
  /** The address this node has for what a policy asks for. */
  addressOf(choice: GatewayChoice, of: Family): Address | undefined;
}

/** Makes the rows of one pod after the other: what they have in common is worked out once. Pure. */
export function egressRows(world: EgressWorld): (pod: EgressPod) => EgressRow[] {
  const { policies, nodes } = world;
  const self = nodes.find((node) => node.self);
  const apart = world.apiServers.map(hostPrefix);
  const gateways = new Map(policies.map((policy) => [policy.name, gatewaysOf(policy, nodes)]));
  const known = new Map<string, Destination[]>();
  return (pod) => {
    if (!self) return [];
    const selecting = policies.filter((policy) => selectsPod(policy, pod));
    if (selecting.length === 0) return [];
    const key = selecting.map(({ name }) => name).join(" ");
    const destinations = known.get(key) ?? destinationsOf(selecting, apart);
    known.set(key, destinations);
    return pod.addresses.flatMap((source) =>
      ofFamily(destinations, family(source)).flatMap(({ prefix, policy }) => {
        const base = { pod: pod.name, source, destination: prefix };
        const gateway = policy && gatewayFor(pod.name, gateways.get(policy.name)!);
        return rowOf({ base, policy, gateway, pod, self }, world) ?? [];
      }),
    );
  };
}

function selectsPod({ selectors }: EgressPolicy, { labels, node }: EgressPod): boolean {
  return selectors.some(
    ({ pods, nodes }) =>
      matches(pods, labels) && (!nodes || (node !== undefined && matches(nodes, node.labels))),
  );
}

interface Case {
  readonly base: Pick<EgressRow, "pod" | "source" | "destination">;
  readonly policy: EgressPolicy | undefined;
  readonly gateway: Gateway | undefined;
  readonly pod: EgressPod;
  readonly self: Node;
}

/** Undefined: nothing this node has to know. */
function rowOf({ base, policy, gateway, pod, self }: Case, world: EgressWorld): EgressRow | undefined {
  const own = pod.node?.self === true;
  if (!policy) return own ? { ...base, way: "excluded", policy: "", gateway: "", asked: "" } : undefined;
  const nobody = { ...base, policy: policy.name, way: "none", gateway: "", asked: "" } as const;
  if (!gateway) return own ? nobody : undefined;
  const { node, choice } = gateway;
  const described = {
    ...base,
    policy: policy.name,
    gateway: node.name,
    asked: choice.address ?? choice.interface ?? "",
  };
  if (node.self) {
    const address = world.addressOf(choice, family(base.source));
    const from = own || !pod.node ? undefined : tunnelAddress(self, pod.node);
    // Whose node is not known cannot get its answers.
    if (!own && !from) return undefined;
    return { ...described, way: "gateway", ...(from && { node: from }), ...(address && { address }) };
  }
  if (!own) return undefined;
  const to = tunnelAddress(self, node);
  return to ? { ...described, way: "tunnel", node: to } : { ...nobody, gateway: node.name };
}
