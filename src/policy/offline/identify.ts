// SPDX-License-Identifier: Apache-2.0
import { ReservedIdentity, reservedNames } from "#model/identity.ts";
import { type Address, contains, family, type Prefix, prefixBits } from "#model/ip.ts";
import type { OfflineCluster } from "./cluster.ts";
import type { End } from "./end.ts";
import type { Known } from "./engine.ts";
import type { OfflineNode } from "./nodes.ts";
import type { OfflinePod } from "./pods.ts";

/** Who the ends of connections are to policies. */
export interface Identifier {
  /** The identity an end has to the policy of the other. */
  identityOf(end: End, other: End): number;
  /** Beside who it is: what blocks say of its address. Of a pod that has none yet, nothing. */
  blockOf(end: End): number | undefined;
}

/** Whose process an end is, where it is a node's; `host` is the other's own node. */
export function nodeOfEnd(cluster: OfflineCluster, end: End, other: End): OfflineNode | undefined {
  switch (end.kind) {
    case "node":
      return end.node;
    case "pod":
      return end.pod.hostNetwork ? nodeNamed(cluster, end.pod.node) : undefined;
    case "address":
      return cluster.nodes.find(({ addresses }) => addresses.includes(end.address));
    case "reserved":
      return end.name === "host" ? nodeUnder(cluster, other) : undefined;
  }
}

function nodeNamed({ nodes }: OfflineCluster, name: string): OfflineNode | undefined {
  return nodes.find((node) => node.name === name);
}

function nodeUnder(cluster: OfflineCluster, end: End): OfflineNode | undefined {
  if (end.kind === "node") return end.node;
  return end.kind === "pod" ? nodeNamed(cluster, end.pod.node) : undefined;
}

/** Addresses are looked up once each. */
export function createIdentifier(known: Known): Identifier {
  const { cluster, cidrs, blocks } = known;
  const pods = new Map<Address, OfflinePod>();
  for (const pod of cluster.pods)
    if (!pod.hostNetwork) for (const address of pod.addresses) pods.set(address, pod);
  const cidrOf = longestMatch(cidrs);
  const ofBlock = longestMatch(blocks);
  const ofAddress = (address: Address, other: End): number => {
    const pod = pods.get(address);
    if (pod) return known.podIdentity.get(pod) ?? 0;
    const node = cluster.nodes.find(({ addresses }) => addresses.includes(address));
    return node ? nodeIdentity(known, node, other) : (cidrOf(address) ?? worldOf(address));
  };
  return {
    identityOf(end, other) {
      const node = nodeOfEnd(cluster, end, other);
      if (node) return nodeIdentity(known, node, other);
      if (end.kind === "pod" && !end.pod.hostNetwork) return known.podIdentity.get(end.pod) ?? 0;
      if (end.kind === "address") return ofAddress(end.address, other);
      if (end.kind === "reserved") return reservedIdentity(cidrs, end.name);
      return isOn(end, other) ? ReservedIdentity.host : ReservedIdentity.remoteNode;
    },
    blockOf(end) {
      if (end.kind === "reserved" && end.address === undefined)
        return end.name === "world" ? blocks.get(everyV4) : undefined;
      const address = addressOf(end);
      return address === undefined ? undefined : ofBlock(address);
    },
  };
}

const everyV4 = "0.0.0.0/0" as Prefix;

function addressOf(end: End): Address | undefined {
  if (end.kind === "pod") return end.pod.addresses[0];
  return end.kind === "node" ? (end.address ?? end.node.addresses[0]) : end.address;
}

function nodeIdentity({ nodeIdentity: { own, remote } }: Known, node: OfflineNode, other: End): number {
  const here = other.kind === "node" ? other.node === node : isOn({ kind: "node", node }, other);
  return (here ? own : remote).get(node) ?? ReservedIdentity.remoteNode;
}

/** A pod in its node's network may be of a node of which only the name is known. */
function isOn(end: End, other: End): boolean {
  const name = end.kind === "node" ? end.node.name : end.kind === "pod" ? end.pod.node : "";
  return name !== "" && other.kind === "pod" && other.pod.node === name;
}

function reservedIdentity(cidrs: ReadonlyMap<Prefix, number>, name: string): number {
  if (name === "world") return cidrs.get(everyV4) ?? ReservedIdentity.worldV4;
  for (const [id, text] of reservedNames) if (text === name) return id;
  return ReservedIdentity.unknown;
}

function worldOf(address: Address): number {
  return family(address) === 4 ? ReservedIdentity.worldV4 : ReservedIdentity.worldV6;
}

function longestMatch(ids: ReadonlyMap<Prefix, number>): (address: Address) => number | undefined {
  const longestFirst = [...ids].sort(([a], [b]) => prefixBits(b) - prefixBits(a));
  const found = new Map<Address, number | undefined>();
  return (address) => {
    if (!found.has(address))
      found.set(address, longestFirst.find(([prefix]) => contains(prefix, address))?.[1]);
    return found.get(address);
  };
}
