// SPDX-License-Identifier: Apache-2.0
import { type Bag, inBlock, type Manifest, namespaceLabels } from "./cluster.ts";
import { selects } from "./selector.ts";
import { abstains, named, type Side, type Vote } from "./side.ts";

/**
 * networking.k8s.io/v1 NetworkPolicy, by the reference: it is about the pods of its namespace that podSelector selects; in each
 * direction of policyTypes they are isolated, and what any rule lists is allowed. Without policyTypes: Ingress, and Egress when there
 * are egress rules.
 */
export function networkVote({ metadata, spec = {} }: Manifest, side: Side): Vote {
  const { subject, direction } = side;
  const namespace = metadata.namespace ?? "default";
  if (subject.kind !== "pod" || subject.pod.namespace !== namespace) return abstains;
  if (!selects((spec.podSelector ?? {}) as Bag, subject.pod.labels)) return abstains;
  const given = (spec.policyTypes ?? []) as readonly string[];
  const rules = (spec[direction] ?? []) as readonly Bag[];
  const implied = direction === "ingress" || rules.length > 0;
  const about = given.length > 0 ? given.includes(direction === "ingress" ? "Ingress" : "Egress") : implied;
  if (!about) return abstains;
  return { isolates: true, allows: rules.some((rule) => ruleFits(rule, namespace, side)), denies: false };
}

/** No peers: anybody. No ports: all. Both must fit. */
function ruleFits(rule: Bag, namespace: string, side: Side): boolean {
  const peers = (rule[side.direction === "ingress" ? "from" : "to"] ?? []) as readonly Bag[];
  const ports = (rule.ports ?? []) as readonly Bag[];
  if (peers.length === 0) return portsFit(ports, side);
  return peers.some((peer) => peerFits(peer, namespace, side) && portsFit(ports, side));
}

function peerFits(peer: Bag, namespace: string, { peer: party, cluster }: Side): boolean {
  if (peer.ipBlock) {
    const { cidr, except } = peer.ipBlock as { cidr: string; except?: readonly string[] };
    return inBlock(party.address, cidr, except);
  }
  if (party.kind !== "pod") return false;
  const { pod } = party;
  const inNamespace = peer.namespaceSelector
    ? selects(peer.namespaceSelector as Bag, namespaceLabels(cluster, pod.namespace))
    : pod.namespace === namespace;
  return inNamespace && selects((peer.podSelector ?? {}) as Bag, pod.labels);
}

function portsFit(ports: readonly Bag[], side: Side): boolean {
  return ports.length === 0 || ports.some((port) => portFits(port, side));
}

function portFits({ protocol = "TCP", port, endPort }: Bag, side: Side): boolean {
  const { attempt } = side;
  if (protocol !== attempt.protocol) return false;
  if (port === undefined) return true;
  if (typeof port === "string") return named(side, port) !== undefined;
  return attempt.port >= Number(port) && attempt.port <= Number(endPort ?? port);
}
