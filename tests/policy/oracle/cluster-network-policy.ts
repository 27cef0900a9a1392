// SPDX-License-Identifier: Apache-2.0
import { type Bag, inBlock, type Manifest, namespaceLabels, type Pod } from "./cluster.ts";
import { selects } from "./selector.ts";
import { named, type Side } from "./side.ts";

export type TierAction = "Accept" | "Deny" | "Pass";

export interface TierAnswer {
  readonly action: TierAction;
  /** Those that say so. */
  readonly policies: readonly Manifest[];
}

/**
 * policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy: within a tier the policy with the lowest priority number goes first, within a
 * policy its rules from the top; the first rule that fits answers for the tier. Of two policies with one priority either may: every
 * answer there can be is given. None: no rule of the tier fits.
 */
export function tierAnswers(
  policies: readonly Manifest[],
  tier: "Admin" | "Baseline",
  side: Side,
): TierAnswer[] {
  const { subject } = side;
  const answers = policies.flatMap((policy) => {
    const { spec = {} } = policy;
    if (policy.kind !== "ClusterNetworkPolicy" || spec.tier !== tier) return [];
    if (subject.kind !== "pod" || !podsFit(spec.subject as Bag, subject.pod, side)) return [];
    const rules = (spec[side.direction] ?? []) as readonly Bag[];
    const first = rules.find((rule) => ruleFits(rule, side));
    return first ? [{ action: first.action as TierAction, policy, priority: Number(spec.priority) }] : [];
  });
  const least = Math.min(...answers.map(({ priority }) => priority));
  const first = answers.filter(({ priority }) => priority === least);
  const byAction = Map.groupBy(first, ({ action }) => action);
  return [...byAction].map(([action, same]) => ({ action, policies: same.map(({ policy }) => policy) }));
}

function ruleFits(rule: Bag, side: Side): boolean {
  const peers = rule[side.direction === "ingress" ? "from" : "to"] as readonly Bag[];
  const protocols = (rule.protocols ?? []) as readonly Bag[];
  return (
    peers.some((peer) => peerFits(peer, side)) &&
    (protocols.length === 0 || protocols.some((protocol) => protocolFits(protocol, side)))
  );
}

function peerFits(peer: Bag, side: Side): boolean {
  const party = side.peer;
  if (peer.networks) return (peer.networks as readonly string[]).some((cidr) => inBlock(party.address, cidr));
  if (peer.nodes) return "node" in party && selects(peer.nodes as Bag, party.node.labels);
  return party.kind === "pod" && podsFit(peer, party.pod, side);
}

/** `namespaces`, or `pods` with both selectors. */
function podsFit({ namespaces, pods }: Bag, pod: Pod, { cluster }: Side): boolean {
  const ofSpace = namespaceLabels(cluster, pod.namespace);
  if (namespaces) return selects(namespaces as Bag, ofSpace);
  const { namespaceSelector = {}, podSelector = {} } = pods as Readonly<Record<string, Bag>>;
  return selects(namespaceSelector, ofSpace) && selects(podSelector, pod.labels);
}

function protocolFits(protocol: Bag, side: Side): boolean {
  const { attempt } = side;
  if (protocol.destinationNamedPort !== undefined)
    return named(side, String(protocol.destinationNamedPort)) !== undefined;
  const match = protocol[attempt.protocol.toLowerCase()] as { destinationPort?: Bag } | undefined;
  if (!match) return false;
  const { destinationPort: port } = match;
  if (!port) return true;
  const { start, end } = (port.range ?? { start: port.number, end: port.number }) as Readonly<
    Record<string, number>
  >;
  return attempt.port >= start! && attempt.port <= end!;
}
