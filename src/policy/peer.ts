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
  "cluster-mesh",
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
  // What is said of addresses alone is asked for by nobody else, not even by a selector that only forbids labels.
  if (peer.kind !== "block" && isBlock(labels)) return false;
  if (peer.kind === "selector") return matches(peer.selector, labels);
  if (peer.kind === "entity") return entityMatches(peer.entity, labels);
  const own = prefixesOf(peer.kind, labels);
  if (peer.kind === "cidr" && own.length === 0)
    // The world's own identity is what remains of the widest prefix.
    return prefixBits(peer.prefix) === 0 && isWorldOf(family(peer.prefix), labels);
  return prefixMatches(peer, own);
}

function isBlock(labels: Labels): boolean {
  for (const key of labels.keys()) return key.startsWith("block:");
  return false;
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
      return !labels.has(otherCluster) && clusterKeys.some((key) => labels.has(key));
    case "cluster-mesh":
      return labels.has(otherCluster);
    default:
      return labels.has(`reserved:${entity}`);
  }
}

/** What the identities of other clusters have beside their own labels, here alone. */
const otherCluster = "mesh:other-cluster";

/** Labels as peers see them: those of another cluster's identity say so. */
export function seenFrom(cluster: string, labels: Labels): Labels {
  const of = labels.get("k8s:io.cilium.k8s.policy.cluster");
  return of === undefined || of === cluster ? labels : new Map([...labels, [otherCluster, ""]]);
}

/** Of these, all but the API server are parts of no world. */
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
  const prefixes = prefixesOf("cidr", labels);
  if (prefixes.length > 0) return prefixes.some((prefix) => family(prefix) === wanted);
  return !labels.has(`reserved:world-ipv${wanted === 4 ? 6 : 4}`);
}

/**
 * An identity of a prefix stands for the addresses that have it as their longest prefix among those policies name, the excepts
 * included, so whole identities are in or out.
 */
function prefixMatches(peer: PrefixPeer, own: readonly Prefix[]): boolean {
  if (!own.some((prefix) => contains(peer.prefix, prefix))) return false;
  return !peer.except.some((hole) => own.some((prefix) => contains(hole, prefix)));
}

type PrefixPeer = Extract<Peer, { readonly prefix: Prefix }>;

function prefixesOf(kind: PrefixPeer["kind"], labels: Labels): Prefix[] {
  const found: Prefix[] = [];
  const source = `${kind}:`;
  for (const key of labels.keys()) if (key.startsWith(source)) found.push(key.slice(source.length) as Prefix);
  return found;
}

const texts = new WeakMap<Peer, string>();

/** Canonical text of a peer: equal peers have equal texts. */
export function peerText(peer: Peer): string {
  let text = texts.get(peer);
  if (text === undefined) {
    text = textOf(peer);
    texts.set(peer, text);
  }
  return text;
}

function textOf(peer: Peer): string {
  if (peer.kind === "selector") return `{${selectorText(peer.selector)}}`;
  if (peer.kind === "entity") return `entity:${peer.entity}`;
  const text = `${peer.kind}:${peer.prefix}`;
  return peer.except.length === 0 ? text : `${text} except ${[...peer.except].sort().join(" ")}`;
}

/** The prefixes, of CIDRs or of blocks, that must have identities of their own for the rules to be enforceable; sorted, each once. */
export function requiredPrefixes(kind: PrefixPeer["kind"], rules: Iterable<Rule>): Prefix[] {
  const found = new Set<Prefix>();
  for (const rule of rules) {
    for (const peer of rule.peers ?? []) {
      if (peer.kind !== kind) continue;
      found.add(peer.prefix);
      for (const hole of peer.except) found.add(hole);
    }
  }
  return [...found].sort();
}
