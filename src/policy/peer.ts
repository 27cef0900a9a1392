// SPDX-License-Identifier: Apache-2.0
import { contains, family, type Prefix, prefixBits } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import type { Peer, Rule } from "./rule.ts";
import { matches, namespaceLabel, selectorText } from "./selector.ts";

/** Names of groups of identities that policies may use; `all` is any peer, whatever its identity. */
export const entities = [
  "all",
  "world",
  "world-ipv4",
  "world-ipv6",
  "cluster",
  "host",
  "init",
  "ingress",
  "unmanaged",
  "remote-node",
  "health",
  "none",
  "kube-apiserver",
] as const;

/** Whether an identity with these labels is meant by the peer. */
export function peerMatches(peer: Peer, labels: Labels): boolean {
  if (peer.kind === "selector") return matches(peer.selector, labels);
  if (peer.kind === "entity") return entityMatches(peer.entity, labels);
  return cidrMatches(peer.prefix, peer.except, labels);
}

function entityMatches(entity: string, labels: Labels): boolean {
  switch (entity) {
    case "all":
      return true;
    case "none":
      return false;
    case "world":
      return isWorld(labels);
    case "world-ipv4":
      return isWorldOf(4, labels);
    case "world-ipv6":
      return isWorldOf(6, labels);
    case "cluster":
      return !isWorld(labels) && clusterKeys.some((key) => labels.has(key));
    default:
      return labels.has(`reserved:${entity}`);
  }
}

const clusterKeys = [
  `k8s:${namespaceLabel}`,
  ...["host", "remote-node", "init", "ingress", "unmanaged", "health", "kube-apiserver"].map(
    (name) => `reserved:${name}`,
  ),
];

function isWorld(labels: Labels): boolean {
  return (
    labels.has("reserved:world") || labels.has("reserved:world-ipv4") || labels.has("reserved:world-ipv6")
  );
}

/** An identity that is the world's and not one family's (2: clusters of one family have no other) counts for both. */
function isWorldOf(wanted: 4 | 6, labels: Labels): boolean {
  if (labels.has(`reserved:world-ipv${wanted}`)) return true;
  if (!labels.has("reserved:world")) return false;
  const prefixes = cidrsOf(labels);
  if (prefixes.length > 0) return prefixes.some((prefix) => family(prefix) === wanted);
  return !labels.has(`reserved:world-ipv${wanted === 4 ? 6 : 4}`);
}

/**
 * An identity of a CIDR stands for the addresses that have it as their longest prefix among those policies name, the excepts
 * included, so whole identities are in or out. The world's own identity is what remains of the widest prefix.
 */
function cidrMatches(prefix: Prefix, except: readonly Prefix[], labels: Labels): boolean {
  const own = cidrsOf(labels);
  if (own.length === 0) return prefixBits(prefix) === 0 && isWorldOf(family(prefix), labels);
  if (!own.some((cidr) => contains(prefix, cidr))) return false;
  return !except.some((hole) => own.some((cidr) => contains(hole, cidr)));
}

function cidrsOf(labels: Labels): Prefix[] {
  const found: Prefix[] = [];
  for (const key of labels.keys()) if (key.startsWith("cidr:")) found.push(key.slice(5) as Prefix);
  return found;
}

/** Canonical text of a peer: equal peers have equal texts. */
export function peerText(peer: Peer): string {
  if (peer.kind === "selector") return `{${selectorText(peer.selector)}}`;
  if (peer.kind === "entity") return `entity:${peer.entity}`;
  return peer.except.length === 0
    ? `cidr:${peer.prefix}`
    : `cidr:${peer.prefix} except ${[...peer.except].sort().join(" ")}`;
}

/** The prefixes that must have identities of their own for the rules to be enforceable, without duplicates, sorted. */
export function requiredCidrs(rules: Iterable<Rule>): Prefix[] {
  const found = new Set<Prefix>();
  for (const rule of rules) {
    for (const peer of rule.peers ?? []) {
      if (peer.kind !== "cidr") continue;
      found.add(peer.prefix);
      for (const hole of peer.except) found.add(hole);
    }
  }
  return [...found].sort();
}
