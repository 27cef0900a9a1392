// SPDX-License-Identifier: Apache-2.0
import { cellsOf, protosOf, type Reach } from "./cells.ts";
import { entriesOf, type GroupEntry } from "./group-entries.ts";
import { type Decision, isExplicit } from "./judge.ts";
import { compareEntries, revisionOf } from "./revision.ts";
import type { NamedPort, Peer, PolicyEntry, PortRange, ResolvedPolicy, Rule, RuleOrigin } from "./rule.ts";

/** What a node knows of the identities that peers may have. */
export interface PeerIndex {
  /** Identities the peer means; never 0. */
  matching(peer: Peer): ReadonlySet<number>;
  /** Identities some of whose pods have a port of this name. */
  withPort(name: string): Iterable<number>;
  /** Named ports of the pods of an identity. */
  portsOf(identity: number): readonly NamedPort[];
}

export interface ResolveInput {
  readonly id: number;
  /** Those whose subject is the endpoint. */
  readonly rules: readonly Rule[];
  readonly peers: PeerIndex;
  /** The endpoint's own named ports. */
  readonly ports: readonly NamedPort[];
  /** Names a set of origins: see `rule-ids.ts`. */
  ruleId(origins: readonly RuleOrigin[]): number;
  /** `default`: endpoints that a rule selects; `always`: all; `never`: none. */
  readonly enforcement: Enforcement;
}

export type Enforcement = "default" | "always" | "never";

/** The node an endpoint lives on may always reach it: a kubelet's probes must work. An explicit denial of the host wins over it. */
export const allowLocalhost: Rule = {
  origin: { kind: "Implicit", namespace: "", name: "allow-localhost", uid: "", index: 0 },
  subject: { requirements: [] },
  direction: "ingress",
  tier: "normal",
  priority: 0,
  action: "allow",
  peers: [{ kind: "entity", entity: "host" }],
  ports: undefined,
  defaultDeny: false,
};

/**
 * The entries that make the datapath's two look-ups (`verdict.ts`) answer as the rules do, for every identity known.
 * Entries are sorted; the same input gives the same revision.
 */
export function resolve(input: ResolveInput): ResolvedPolicy {
  const enforces = (direction: Rule["direction"]) =>
    input.enforcement !== "never" &&
    (input.enforcement === "always" || input.rules.some((rule) => rule.direction === direction));
  const enforceIngress = enforces("ingress");
  const enforceEgress = enforces("egress");
  const entries = [
    ...(enforceIngress ? resolveDirection(input, "ingress") : []),
    ...(enforceEgress ? resolveDirection(input, "egress") : []),
  ].sort(compareEntries);
  const revision = revisionOf(entries, enforceIngress, enforceEgress);
  return { id: input.id, revision, enforceIngress, enforceEgress, entries };
}

function resolveDirection(input: ResolveInput, direction: Rule["direction"]): PolicyEntry[] {
  const selected = input.rules.filter((rule) => rule.direction === direction);
  const isolated = input.enforcement === "always" || selected.some((rule) => rule.defaultDeny);
  const rules = direction === "ingress" ? [...selected, allowLocalhost] : selected;
  const isolating = rules.flatMap((rule, index) => (rule.defaultDeny ? [index] : []));
  const otherwise: Decision = { verdict: isolated ? "deny" : "allow", precedence: 0, rules: isolating };
  const ids = new Map<string, number>();
  const ruleId = (decision: Decision): number => {
    const key = `${isExplicit(decision)} ${decision.rules.join()}`;
    let id = ids.get(key);
    if (id === undefined) {
      id = input.ruleId(originsOf(rules, decision));
      ids.set(key, id);
    }
    return id;
  };
  const anybody = reachesOf({ input, rules, direction }, undefined, indexesOfAny(rules));
  const anyCells = cellsOf(rules, anybody, protosOf(anybody), otherwise);
  const emit = (found: readonly GroupEntry[], identities: readonly number[]): PolicyEntry[] =>
    found.flatMap(({ decision, proto, port, portBits }) => {
      const { verdict, precedence } = decision;
      const rule = ruleId(decision);
      return identities.map((identity) => ({
        direction,
        identity,
        proto,
        portBits,
        port,
        verdict,
        precedence,
        rule,
      }));
    });
  const out = emit(entriesOf(anyCells, undefined), [0]);
  for (const { reaches, identities } of groups({ input, rules, direction })) {
    const protos = protosOf(reaches);
    const cells = cellsOf(rules, reaches, protos, otherwise);
    const base = cellsOf(rules, anybody, protos, otherwise);
    out.push(...emit(entriesOf(cells, base), identities));
  }
  return out;
}

/** Who isolates is the object as a whole, not one of its rules. */
function originsOf(rules: readonly Rule[], decision: Decision): RuleOrigin[] {
  const origins = decision.rules.map((index) => rules[index]!.origin);
  if (isExplicit(decision)) return origins;
  return origins.map(({ kind, namespace, name, uid }) => ({ kind, namespace, name, uid, index: -1 }));
}

interface Context {
  readonly input: ResolveInput;
  readonly rules: readonly Rule[];
  readonly direction: Rule["direction"];
}

interface Group {
  readonly reaches: readonly Reach[];
  readonly identities: readonly number[];
}

function indexesOfAny(rules: readonly Rule[]): number[] {
  return rules.flatMap((rule, index) => (rule.peers === undefined ? [index] : []));
}

/** Identities that the same rules reach in the same way are resolved once. Those that only rules for anybody reach are left out. */
function groups(context: Context): Iterable<Group> {
  const { rules, input, direction } = context;
  const byIdentity = new Map<number, number[]>();
  const add = (identity: number, index: number) => {
    const found = byIdentity.get(identity);
    if (!found) byIdentity.set(identity, [index]);
    else if (found.at(-1) !== index) found.push(index);
  };
  for (const [index, rule] of rules.entries()) {
    for (const peer of rule.peers ?? [])
      for (const identity of input.peers.matching(peer)) add(identity, index);
    if (rule.peers !== undefined || direction === "ingress") continue;
    for (const { name } of rule.ports ?? []) {
      if (name !== undefined) for (const identity of input.peers.withPort(name)) add(identity, index);
    }
  }
  const anybody = indexesOfAny(rules);
  const named = new Set(
    rules.flatMap((rule) => (rule.ports ?? []).flatMap(({ name }) => (name === undefined ? [] : [name]))),
  );
  const found = new Map<string, { reaches: readonly Reach[]; identities: number[] }>();
  for (const [identity, special] of byIdentity) {
    const key = `${special.join()} ${direction === "egress" && named.size > 0 ? namesText(input, identity, named) : ""}`;
    const group = found.get(key);
    if (group) {
      group.identities.push(identity);
      continue;
    }
    const indexes = [...new Set([...special, ...anybody])].sort((a, b) => a - b);
    found.set(key, { reaches: reachesOf(context, identity, indexes), identities: [identity] });
  }
  return found.values();
}

function namesText(input: ResolveInput, identity: number, names: ReadonlySet<string>): string {
  const ports = input.peers.portsOf(identity).filter(({ name }) => names.has(name));
  return ports
    .map(({ name, proto, port }) => `${name}=${proto}/${port}`)
    .sort()
    .join();
}

/** @param identity undefined: one nobody knows, whose ports have no names */
function reachesOf(context: Context, identity: number | undefined, indexes: readonly number[]): Reach[] {
  const { input, rules, direction } = context;
  const destination =
    direction === "ingress" ? input.ports : identity === undefined ? [] : input.peers.portsOf(identity);
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
