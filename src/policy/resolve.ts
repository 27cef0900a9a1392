// SPDX-License-Identifier: Apache-2.0
import { cellsOf, protosOf } from "./cells.ts";
import { entriesOf, type GroupEntry } from "./group-entries.ts";
import { groups, indexesOfAny, type PeerIndex, reachesOf } from "./groups.ts";
import { type Decision, defaultPrecedence, isExplicit } from "./judge.ts";
import { compareEntries, revisionOf } from "./revision.ts";
import type { NamedPort, PolicyEntry, ResolvedPolicy, Rule, RuleOrigin } from "./rule.ts";

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
const allowLocalhost: Rule = {
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
 * The entries that make the datapath's look-ups (`verdict.ts`) answer as the rules do, for every identity known.
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
  const otherwise: Decision = {
    verdict: isolated ? "deny" : "allow",
    precedence: defaultPrecedence,
    rules: isolating,
  };
  const ids = new Map<string, number>();
  const ruleId = (decision: Decision): number => {
    const key = `${isExplicit(decision)} ${decision.rules.join()}`;
    let id = ids.get(key);
    if (id === undefined) {
      id = decision === nothing ? 0 : input.ruleId(originsOf(rules, decision));
      ids.set(key, id);
    }
    return id;
  };
  const context = { rules, direction, peers: input.peers, ports: input.ports };
  const anybody = reachesOf(context, undefined, indexesOfAny(rules));
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
  for (const { block, reaches, identities } of groups(context)) {
    const protos = protosOf(reaches);
    if (block) {
      const said = entriesOf(cellsOf(rules, reaches, protos, nothing), undefined);
      out.push(
        ...emit(
          said.filter(({ decision, proto }) => isExplicit(decision) || proto !== 0),
          identities,
        ),
      );
      continue;
    }
    const cells = cellsOf(rules, reaches, protos, otherwise);
    const base = cellsOf(rules, anybody, protos, otherwise);
    out.push(...emit(entriesOf(cells, base), identities));
  }
  return out;
}

/** Where the rules of blocks say nothing: a hole in a wider range that they allow. The datapath passes over it. */
const nothing: Decision = { verdict: "deny", precedence: defaultPrecedence, rules: [] };

/** Who isolates is the object as a whole, not one of its rules. */
function originsOf(rules: readonly Rule[], decision: Decision): RuleOrigin[] {
  const origins = decision.rules.map((index) => rules[index]!.origin);
  if (isExplicit(decision)) return origins;
  return origins.map(({ kind, namespace, name, uid }) => ({ kind, namespace, name, uid, index: -1 }));
}
