// SPDX-License-Identifier: Apache-2.0

import { BlockList, isIPv6 } from "node:net";
import type { Manifest } from "./manifest-policies.ts";
import { namespaces, type WorldPod } from "./manifest-world.ts";

/**
 * Who may talk to whom, read straight from the manifests by the words of the two references (Kubernetes NetworkPolicy,
 * CiliumNetworkPolicy): no rule, identity or map of the product is in it.
 */

export type Party =
  | { readonly kind: "pod"; readonly pod: WorldPod; readonly address: string }
  | { readonly kind: "outside" | "host" | "remote-node"; readonly address: string };

export interface Attempt {
  readonly from: WorldPod;
  /** Of the sender, in the family of `to`. */
  readonly source: string;
  readonly to: Party;
  /** 0 for ICMP echo. */
  readonly port: number;
  readonly protocol: "TCP" | "UDP" | "ICMP";
}

type Bag = Readonly<Record<string, unknown>>;

/** One side's question: may `subject` have this conversation with `peer`? */
interface Side {
  readonly subject: WorldPod;
  readonly peer: Party;
  readonly direction: "ingress" | "egress";
  readonly attempt: Attempt;
}

/** True when both ends let it pass. What a pod says to itself never meets a policy. */
export function mayConnect(policies: readonly Manifest[], attempt: Attempt): boolean {
  const { from, source, to } = attempt;
  if (to.kind === "pod" && to.pod === from) return true;
  const out = allowed(policies, { subject: from, peer: to, direction: "egress", attempt });
  if (!out || to.kind !== "pod") return out;
  const peer: Party = { kind: "pod", pod: from, address: source };
  return allowed(policies, { subject: to.pod, peer, direction: "ingress", attempt });
}

function allowed(policies: readonly Manifest[], side: Side): boolean {
  const votes = policies.map((policy) =>
    policy.kind === "NetworkPolicy" ? networkVote(policy, side) : ciliumVote(policy, side),
  );
  if (votes.some((vote) => vote.denies)) return false;
  return votes.some((vote) => vote.allows) || !votes.some((vote) => vote.isolates);
}

interface Vote {
  readonly isolates: boolean;
  readonly allows: boolean;
  readonly denies: boolean;
}

const ABSTAIN: Vote = { isolates: false, allows: false, denies: false };

function networkVote({ metadata, spec }: Manifest, side: Side): Vote {
  const { subject, direction } = side;
  if (subject.namespace !== metadata.namespace) return ABSTAIN;
  if (!selects(spec.podSelector as Bag, subject.labels)) return ABSTAIN;
  const given = spec.policyTypes as string[] | undefined;
  const types =
    given ?? ((spec.egress as unknown[] | undefined)?.length ? ["Ingress", "Egress"] : ["Ingress"]);
  if (!types.includes(direction === "ingress" ? "Ingress" : "Egress")) return ABSTAIN;
  const rules = (spec[direction] ?? []) as Bag[];
  const allows = rules.some((rule) => {
    const peers = rule[direction === "ingress" ? "from" : "to"] as Bag[] | undefined;
    const ports = rule.ports as Bag[] | undefined;
    const portOk = (peer?: Bag) =>
      !ports?.length || ports.some((port) => !hasNoNumber(port, peer, direction) && portFits(port, side));
    if (!peers?.length) return portOk();
    return peers.some((peer) => networkPeerFits(peer, metadata.namespace!, side.peer) && portOk(peer));
  });
  return { isolates: true, allows, denies: false };
}

/** Addresses of an ipBlock have no ports with names, also where they are pods'. */
function hasNoNumber({ port }: Bag, peer: Bag | undefined, direction: Side["direction"]): boolean {
  return direction === "egress" && peer?.ipBlock !== undefined && Number.isNaN(Number(port ?? 0));
}

function networkPeerFits(peer: Bag, namespace: string, party: Party): boolean {
  if (peer.ipBlock) return blockFits(peer.ipBlock as Bag, party.address);
  if (party.kind !== "pod") return false;
  const { pod } = party;
  const spaceOk = peer.namespaceSelector
    ? selects(peer.namespaceSelector as Bag, spaceLabels(pod.namespace))
    : pod.namespace === namespace;
  return spaceOk && selects((peer.podSelector ?? {}) as Bag, pod.labels);
}

function spaceLabels(namespace: string): Readonly<Record<string, string>> {
  return { ...namespaces[namespace], "kubernetes.io/metadata.name": namespace };
}

function ciliumVote({ kind, metadata, spec }: Manifest, side: Side): Vote {
  const { subject, direction } = side;
  const namespace = kind === "CiliumNetworkPolicy" ? metadata.namespace! : undefined;
  if (namespace !== undefined && subject.namespace !== namespace) return ABSTAIN;
  if (!selects(spec.endpointSelector as Bag, ciliumLabels(subject))) return ABSTAIN;
  const allow = (spec[direction] ?? []) as Bag[];
  const deny = (spec[`${direction}Deny`] ?? []) as Bag[];
  const wish = (spec.enableDefaultDeny as Record<string, boolean> | undefined)?.[direction];
  const fits = (rule: Bag) => ciliumRuleFits(rule, namespace, side);
  return {
    isolates: wish ?? allow.length + deny.length > 0,
    allows: allow.some(fits),
    denies: deny.some(fits),
  };
}

function ciliumRuleFits(rule: Bag, namespace: string | undefined, side: Side): boolean {
  // An empty rule names nobody.
  if (Object.keys(rule).length === 0) return false;
  return ciliumPeerFits(rule, namespace, side) && ciliumPortFits(rule, side);
}

function ciliumPeerFits(rule: Bag, namespace: string | undefined, { peer, direction }: Side): boolean {
  const word = direction === "ingress" ? "from" : "to";
  const list = (field: string) => rule[`${word}${field}`] as unknown[] | undefined;
  const [endpoints, cidrs, sets, entities] = ["Endpoints", "CIDR", "CIDRSet", "Entities"].map(list);
  if (!endpoints && !cidrs && !sets && !entities) return true;
  if (endpoints?.some((selector) => endpointFits(selector as Bag, namespace, peer))) return true;
  if (entities?.some((entity) => entityFits(entity as string, peer))) return true;
  if (peer.kind !== "outside") return false;
  const blocks = [...(cidrs ?? []).map((cidr): Bag => ({ cidr })), ...((sets ?? []) as Bag[])];
  return blocks.some((block) => blockFits(block, peer.address));
}

function endpointFits(selector: Bag, namespace: string | undefined, peer: Party): boolean {
  if (peer.kind !== "pod") return false;
  const keys = [
    ...Object.keys((selector.matchLabels ?? {}) as Bag),
    ...((selector.matchExpressions ?? []) as Bag[]).map(({ key }) => String(key)),
  ];
  const ofSpaces = keys.some((key) => /io\.kubernetes\.pod\.namespace|namespace\.labels\./.test(key));
  if (!ofSpaces && namespace !== undefined && peer.pod.namespace !== namespace) return false;
  return selects(selector, ciliumLabels(peer.pod));
}

function ciliumLabels({ namespace, labels }: WorldPod): Record<string, string> {
  const out: Record<string, string> = { ...labels, "k8s:io.kubernetes.pod.namespace": namespace };
  for (const [key, value] of Object.entries(spaceLabels(namespace)))
    out[`k8s:io.cilium.k8s.namespace.labels.${key}`] = value;
  return out;
}

function entityFits(entity: string, peer: Party): boolean {
  const world = peer.kind === "outside";
  switch (entity) {
    case "all":
      return true;
    case "world":
      return world;
    case "world-ipv4":
      return world && !isIPv6(peer.address);
    case "world-ipv6":
      return world && isIPv6(peer.address);
    case "cluster":
      return !world;
    default:
      return peer.kind === entity;
  }
}

function ciliumPortFits(rule: Bag, side: Side): boolean {
  const icmps = rule.icmps as { fields: { family?: string; type: number | string }[] }[] | undefined;
  if (icmps) {
    const v6 = isIPv6(side.attempt.to.address);
    const echo: unknown[] = v6 ? [128, "EchoRequest"] : [8, "EchoRequest"];
    return (
      side.attempt.protocol === "ICMP" &&
      icmps.some(({ fields }) =>
        fields.some(({ family = "IPv4", type }) => (family === "IPv6") === v6 && echo.includes(type)),
      )
    );
  }
  const toPorts = rule.toPorts as { ports: Bag[] }[] | undefined;
  if (!toPorts) return true;
  return toPorts.some(({ ports }) => ports.some((port) => portFits({ protocol: "ANY", ...port }, side)));
}

/** A port of either kind of policy. Port 0 of protocol ANY is everything, ICMP included. */
function portFits(
  { port, endPort, protocol = "TCP" }: Bag,
  { subject, peer, direction, attempt }: Side,
): boolean {
  const number = port === undefined ? 0 : Number(port);
  if (protocol === "ANY" && number === 0) return true;
  if (attempt.protocol === "ICMP") return false;
  if (protocol !== "ANY" && protocol !== attempt.protocol) return false;
  if (Number.isNaN(number)) {
    const named = direction === "ingress" ? subject.ports : peer.kind === "pod" ? peer.pod.ports : [];
    return named.some(
      (one) => one.name === port && one.port === attempt.port && one.protocol === attempt.protocol,
    );
  }
  if (number === 0) return true;
  return attempt.port >= number && attempt.port <= (endPort ? Number(endPort) : number);
}

function selects(selector: Bag, labels: Readonly<Record<string, string>>): boolean {
  for (const [key, value] of Object.entries((selector.matchLabels ?? {}) as Record<string, string>))
    if (labels[key] !== value) return false;
  const list = (selector.matchExpressions ?? []) as { key: string; operator: string; values?: string[] }[];
  return list.every(({ key, operator, values = [] }) => {
    const value = labels[key];
    if (operator === "Exists") return value !== undefined;
    if (operator === "DoesNotExist") return value === undefined;
    const among = value !== undefined && values.includes(value);
    return operator === "In" ? among : !among;
  });
}

function blockFits({ cidr, except }: Bag, address: string): boolean {
  const inside = (text: string) => {
    const [net = "", bits] = text.split("/");
    const family = isIPv6(net) ? "ipv6" : "ipv4";
    if (isIPv6(net) !== isIPv6(address)) return false;
    const list = new BlockList();
    list.addSubnet(net, Number(bits ?? (family === "ipv6" ? 128 : 32)), family);
    return list.check(address, family);
  };
  return inside(cidr as string) && !((except ?? []) as string[]).some(inside);
}
