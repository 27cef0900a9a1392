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
  /** Equal for equal groups of one context. */
  readonly key: string;
  /** Of prefixes of blocks: rules for anybody are not among those that reach them. */
  readonly block: boolean;
  reaches(): Reach[];
}

/** Which rules reach an identity beside those for anybody: indexes, ascending. */
export type Special = readonly number[];

/** Identities that the same rules reach in the same way are resolved once. Those that only rules for anybody reach are in no group. */
export interface Grouping {
  /** Every identity that is in a group. */
  all(): ReadonlyMap<number, Special>;
  /** One of them; empty: it is in none. The same as in `all`. */
  of(identity: number): Special;
  groupOf(identity: number, special: Special): Group;
}

/** Rules that are about any peer. */
export function indexesOfAny(rules: readonly Rule[]): number[] {
  return rules.flatMap((rule, index) => (rule.peers === undefined ? [index] : []));
}

export function grouping(context: GroupContext): Grouping {
  const { rules, peers, direction } = context;
  const anybody = indexesOfAny(rules);
  const named = new Set(
    rules.flatMap((rule) => (rule.ports ?? []).flatMap(({ name }) => (name === undefined ? [] : [name]))),
  );
  return {
    all: () => specials(context),
    of: (identity) => rules.flatMap((rule, index) => (isSpecial(context, rule, identity) ? [index] : [])),
    groupOf(identity, special) {
      const block = isBlockIdentity(identity);
      const names = direction === "egress" && named.size > 0 ? namesText(peers, identity, named) : "";
      return {
        key: `${block} ${special.join()} ${names}`,
        block,
        reaches() {
          const indexes = [...new Set([...special, ...(block ? [] : anybody)])].sort((a, b) => a - b);
          return reachesOf(context, identity, indexes);
        },
      };
    },
  };
}

function specials({ rules, peers, direction }: GroupContext): Map<number, number[]> {
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
  return byIdentity;
}

/** A rule for anybody is special to an egress peer whose pods have a port that it names. */
function isSpecial({ peers, direction }: GroupContext, rule: Rule, identity: number): boolean {
  if (rule.peers) return rule.peers.some((peer) => peers.matching(peer).has(identity));
  if (direction === "ingress") return false;
  return (rule.ports ?? []).some(({ name }) => peers.portsOf(identity).some((port) => port.name === name));
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
