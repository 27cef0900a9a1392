// SPDX-License-Identifier: Apache-2.0

import { ciliumPeerFits, selectsNode, selectsPod } from "./cilium-peer.ts";
import type { Bag, Manifest } from "./cluster.ts";
import { isV6, named, type Side, type Vote } from "./side.ts";

/**
 * cilium.io/v2 CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy, by the policy guide: denials win over what is allowed; a
 * direction with rules isolates unless enableDefaultDeny says otherwise; a rule needs its peers and its ports to fit, and one that names
 * neither is about nobody.
 */
export function ciliumVote(policy: Manifest, side: Side): Vote {
  const votes = [...(policy.spec ? [policy.spec] : []), ...(policy.specs ?? [])].map((part) =>
    partVote(part, policy, side),
  );
  return {
    isolates: votes.some(({ isolates }) => isolates),
    allows: votes.some(({ allows }) => allows),
    denies: votes.some(({ denies }) => denies),
  };
}

function partVote(part: Bag, { kind, metadata }: Manifest, side: Side): Vote {
  const namespace = kind === "CiliumNetworkPolicy" ? (metadata.namespace ?? "default") : undefined;
  const selected = isSelected(part, namespace, side);
  const { direction } = side;
  const allow = selected ? ((part[direction] ?? []) as readonly Bag[]) : [];
  const deny = selected ? ((part[`${direction}Deny`] ?? []) as readonly Bag[]) : [];
  const wish = (part.enableDefaultDeny as Readonly<Record<string, boolean>> | undefined)?.[direction];
  const fits = (rule: Bag) => ciliumRuleFits(rule, namespace, side);
  return {
    isolates: selected && (wish ?? allow.length + deny.length > 0),
    allows: allow.some(fits),
    denies: deny.some(fits),
  };
}

/** By endpointSelector pods, by nodeSelector the node itself: never one by the other's. */
function isSelected(part: Bag, namespace: string | undefined, { subject, cluster }: Side): boolean {
  if (subject.kind === "host")
    return part.nodeSelector !== undefined && selectsNode(part.nodeSelector as Bag, subject.node);
  return (
    part.endpointSelector !== undefined &&
    (namespace === undefined || subject.pod.namespace === namespace) &&
    selectsPod(part.endpointSelector as Bag, subject.pod, cluster)
  );
}

function ciliumRuleFits(rule: Bag, namespace: string | undefined, side: Side): boolean {
  if (Object.keys(rule).every((key) => key === "authentication")) return false;
  return ciliumPeerFits(rule, namespace, side) && portsFit(rule, side);
}

/** Neither toPorts nor icmps: everything. */
function portsFit(rule: Bag, side: Side): boolean {
  const icmps = (rule.icmps ?? []) as readonly { fields?: readonly Bag[] }[];
  const toPorts = (rule.toPorts ?? []) as readonly { ports: readonly Bag[] }[];
  if (icmps.length === 0 && toPorts.length === 0) return true;
  return (
    icmps.some(({ fields = [] }) => fields.some((field) => icmpFits(field, side))) ||
    toPorts.some(({ ports }) => ports.some((port) => portFits(port, side)))
  );
}

/** The names the tests use; IANA's numbers. */
const icmpNames: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  IPv4: { EchoReply: 0, DestinationUnreachable: 3, Echo: 8, EchoRequest: 8, TimeExceeded: 11, Timestamp: 13 },
  IPv6: {
    DestinationUnreachable: 1,
    PacketTooBig: 2,
    EchoRequest: 128,
    EchoReply: 129,
    RouterSolicitation: 133,
  },
};

function icmpFits({ family = "IPv4", type }: Bag, side: Side): boolean {
  if (side.attempt.protocol !== "ICMP" || (family === "IPv6") !== isV6(side)) return false;
  const number = Number(icmpNames[String(family)]?.[String(type)] ?? type);
  return number === side.attempt.port;
}

/** Port 0 is every port; of protocol ANY it is every protocol, those without ports too. */
function portFits({ port = "0", endPort = 0, protocol = "ANY" }: Bag, side: Side): boolean {
  const { attempt } = side;
  const number = Number(port);
  if (protocol === "ANY" && number === 0) return true;
  if (attempt.protocol === "ICMP" || (protocol !== "ANY" && protocol !== attempt.protocol)) return false;
  if (Number.isNaN(number)) return named(side, String(port)) !== undefined;
  return number === 0 || (attempt.port >= number && attempt.port <= (Number(endPort) || number));
}
