// SPDX-License-Identifier: Apache-2.0
import { contains, hostPrefix, type Prefix, parseAddress } from "#model/ip.ts";
import type { NamedPort, Peer, PortRange, Rule } from "./rule.ts";

/** A pod anywhere in the cluster, as far as ports by name ask. */
export interface ReferencedPod {
  readonly addresses: readonly string[];
  readonly namedPorts: readonly NamedPort[];
}

/** The names that a rule looks for at whoever has an address of its blocks. */
export function blockPortNames({ direction, peers = [], ports = [] }: Rule): string[] {
  if (direction === "ingress" || !peers.some(({ kind }) => kind === "block")) return [];
  return ports.flatMap(({ name }) => name ?? []);
}

/**
 * What the names of ports mean in blocks of addresses: a block is nobody's identity, so its rule is joined by one for each number, about the
 * addresses of the pods in the block that have that number for the name.
 */
export function withNamedBlocks(rules: readonly Rule[], pods: () => Iterable<ReferencedPod>): Rule[] {
  return rules.flatMap((rule) =>
    blockPortNames(rule).length > 0 ? [rule, ...numbered(rule, pods())] : rule,
  );
}

function numbered(rule: Rule, pods: Iterable<ReferencedPod>): Rule[] {
  const byNumber = new Map<string, { readonly range: PortRange; readonly prefixes: Set<Prefix> }>();
  const blocks = (rule.peers ?? []).filter((peer) => peer.kind === "block");
  const names = (rule.ports ?? []).filter(({ name }) => name !== undefined);
  for (const { addresses, namedPorts } of pods) {
    const named = namedPorts.filter((port) => names.some((range) => means(range, port)));
    if (named.length === 0) continue;
    const inside = addresses.map((text) => hostPrefix(parseAddress(text))).filter((one) => isIn(blocks, one));
    for (const { proto, port } of named) {
      const key = `${proto}/${port}`;
      const found = byNumber.get(key) ?? { range: { proto, first: port, last: port }, prefixes: new Set() };
      for (const prefix of inside) found.prefixes.add(prefix);
      byNumber.set(key, found);
    }
  }
  return [...byNumber]
    .filter(([, { prefixes }]) => prefixes.size > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { range, prefixes }]) => ({
      ...rule,
      peers: [...prefixes].sort().map((prefix) => ({ kind: "block", prefix, except: [] })),
      ports: [range],
    }));
}

function means({ name, proto }: PortRange, port: NamedPort): boolean {
  return port.name === name && (proto === 0 || proto === port.proto);
}

type Block = Extract<Peer, { readonly kind: "block" }>;

function isIn(blocks: readonly Block[], address: Prefix): boolean {
  return blocks.some(
    ({ prefix, except }) => contains(prefix, address) && !except.some((hole) => contains(hole, address)),
  );
}
