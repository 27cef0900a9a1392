// SPDX-License-Identifier: Apache-2.0
import { isBlockIdentity } from "#model/identity.ts";
import type { Reach } from "./cells.ts";
import type { NamedPort, Peer, PortRange, Rule } from "./rule.ts";

/** What a node knows of the identities that peers may have. */
export interface PeerIndex {
  /** Identities the peer means; never 0. */
  matching(peer: Peer): ReadonlySet<number>;
  /** Identities some of whose pods have a port of this name. */
  withPort(name: string): Iterable<number>;
  /** Named ports of the pods of an identity. */
  portsOf(identity: number): readonly NamedPort[];
}

export interface GroupContext {
  /** Of one direction. */
  readonly rules: readonly Rule[];
  readonly direction: Rule["direction"];
  readonly peers: PeerIndex;
  /** The endpoint's own named ports. */
  readonly ports: readonly NamedPort[];
}

/** Identities that the same rules reach in the same way. */
export interface Group {
  /** Of prefixes of blocks: rules for anybody are not among those that reach them. */
  readonly block: boolean;
  readonly reaches: readonly Reach[];
  readonly identities: readonly number[];
}

/** Rules that are about any peer. */
export function indexesOfAny(rules: readonly Rule[]): number[] {
  return rules.flatMap((rule, index) => (rule.peers === undefined ? [index] : []));
}

/** Identities that the same rules reach in the same way are resolved once. Those that only rules for anybody reach are left out. */
export function groups(context: GroupContext): Iterable<Group> {
  const { rules, peers, direction } = context;
  const byIdentity = new Map<number, number[]>();
  const add = (identity: number, index: number) => {
    const found = byIdentity.get(identity);
    if (!found) byIdentity.set(identity, [index]);
    else if (found.at(-1) !== index) found.push(index);
  };
  for (const [index, rule] of rules.entries()) {
    for (const peer of rule.peers ?? []) for (const identity of peers.matching(peer)) add(identity, index);
    if (rule.peers !== undefined || direction === "ingress") continue;
    for (const { name } of rule.ports ?? []) {
      if (name !== undefined) for (const identity of peers.withPort(name)) add(identity, index);
    }
  }
  const anybody = indexesOfAny(rules);
  const named = new Set(
    rules.flatMap((rule) => (rule.ports ?? []).flatMap(({ name }) => (name === undefined ? [] : [name]))),
  );
  const found = new Map<string, Group & { identities: number[] }>();
  for (const [identity, special] of byIdentity) {
    const block = isBlockIdentity(identity);
    const key = `${block} ${special.join()} ${direction === "egress" && named.size > 0 ? namesText(peers, identity, named) : ""}`;
    const group = found.get(key);
    if (group) {
      group.identities.push(identity);
      continue;
    }
    const indexes = [...new Set([...special, ...(block ? [] : anybody)])].sort((a, b) => a - b);
    found.set(key, { block, reaches: reachesOf(context, identity, indexes), identities: [identity] });
  }
  return found.values();
}

function namesText(peers: PeerIndex, identity: number, names: ReadonlySet<string>): string {
  return peers
    .portsOf(identity)
    .filter(({ name }) => names.has(name))
    .map(({ name, proto, port }) => `${name}=${proto}/${port}`)
    .sort()
    .join();
}

/**
 * Rules as one identity sees them, with numbers for named ports.
 * @param identity undefined: one nobody knows, whose ports have no names
 */
export function reachesOf(
  context: GroupContext,
  identity: number | undefined,
  indexes: readonly number[],
): Reach[] {
  const { rules, direction, peers, ports } = context;
  const destination = direction === "ingress" ? ports : identity === undefined ? [] : peers.portsOf(identity);
  return indexes.map((rule) => ({
    rule,
    ports: rules[rule]!.ports?.flatMap((range) => numbersOf(range, destination)),
  }));
}

function numbersOf(range: PortRange, destination: readonly NamedPort[]): PortRange[] {
  const { name, proto } = range;
  if (name === undefined) return [range];
  return destination
    .filter((port) => port.name === name && (proto === 0 || port.proto === proto))
    .map(({ port, proto: actual }) => ({ proto: actual, first: port, last: port }));
}
