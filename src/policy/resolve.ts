// SPDX-License-Identifier: Apache-2.0
import { cellsOf, protosOf } from "./cells.ts";
import { entryFor, type Said } from "./entry.ts";
import { entriesOf, type GroupEntry } from "./group-entries.ts";
import { type Group, grouping, indexesOfAny, type PeerIndex, reachesOf } from "./groups.ts";
import { type Decision, defaultPrecedence, isExplicit, placeOfRule, rankOf, yieldingTo } from "./judge.ts";
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
  const { enforceIngress, enforceEgress, audits, all } = resolver(input);
  const entries = all();
  const revision = revisionOf(entries, enforceIngress, enforceEgress);
  return { id: input.id, revision, enforceIngress, enforceEgress, ...(audits && { audits }), entries };
}

/** {@link resolve} by the piece: good for as long as the rules and the endpoint's own ports are the same. */
export interface Resolver extends EntrySource {
  readonly enforceIngress: boolean;
  readonly enforceEgress: boolean;
  /** Some of the entries are the audit's. */
  readonly audits?: true;
}

/** Entries, sorted: all there are, or those of one identity, as they are among all. */
interface EntrySource {
  all(): PolicyEntry[];
  of(identity: number): PolicyEntry[];
}

export function resolver(input: ResolveInput): Resolver {
  const audits = input.rules.some(({ audit }) => audit);
  const enforced = audits ? { ...input, rules: enforcedRules(input) } : input;
  const enforceIngress = isEnforced(enforced, "ingress");
  const enforceEgress = isEnforced(enforced, "egress");
  const sources = [
    ...resolveDirection(enforced, "ingress"),
    ...resolveDirection(enforced, "egress"),
    ...(audits
      ? [...resolveDirection(input, "ingress", inAudit), ...resolveDirection(input, "egress", inAudit)]
      : []),
  ];
  return {
    enforceIngress,
    enforceEgress,
    ...(audits && { audits }),
    all: () => sources.flatMap((source) => source.all()).sort(compareEntries),
    of: (identity) => sources.flatMap((source) => source.of(identity)).sort(compareEntries),
  };
}

/** What is left of rules when those in audit deny nothing; none of a direction about which there are no others. */
function enforcedRules({ rules, enforcement }: ResolveInput): Rule[] {
  const isJudged = (direction: Rule["direction"]) =>
    enforcement === "always" || rules.some((rule) => !rule.audit && rule.direction === direction);
  return rules
    .filter(({ audit, action, direction }) => !audit || (action !== "deny" && isJudged(direction)))
    .map((rule) => (rule.audit ? { ...rule, defaultDeny: false } : rule));
}

/** Which of a policy's look-ups entries are for. */
type Step = Pick<PolicyEntry, "round" | "audit">;

const inAudit: Step = { audit: true };

function isEnforced({ enforcement, rules }: ResolveInput, direction: Rule["direction"]): boolean {
  if (enforcement === "never") return false;
  return enforcement === "always" || rules.some((rule) => rule.direction === direction);
}

function resolveDirection(input: ResolveInput, direction: Rule["direction"], step: Step = {}): EntrySource[] {
  if (!isEnforced(input, direction)) return [];
  const selected = input.rules.filter((rule) => rule.direction === direction);
  const isolated = selected.some((rule) => rule.defaultDeny);
  // Who is isolated is judged by what isolates it: the baseline is for the others.
  const heard = isolated ? selected.filter(({ tier }) => tier !== "baseline") : selected;
  const rules = direction === "ingress" ? [...heard, allowLocalhost] : heard;
  const unmatched = isolated || input.enforcement === "always" ? "deny" : "allow";
  const first = { input, direction, unmatched, rules, step } as const;
  if (!needsRounds(rules)) return [resolveRound(first)];
  const passedOn = rules.filter(({ tier }) => tier !== "admin");
  return [resolveRound(first), resolveRound({ ...first, rules: passedOn, step: { ...step, round: 2 } })];
}

/**
 * What the admin tier passes on is decided by the identity and by the address, and each of them has its own say on what passes: only the
 * datapath finds both.
 */
function needsRounds(rules: readonly Rule[]): boolean {
  return rules.some(isAdminPass) && rules.some(isAboutBlocks);
}

function isAdminPass({ tier, action }: Rule): boolean {
  return tier === "admin" && action === "pass";
}

function isAboutBlocks({ peers }: Rule): boolean {
  return peers?.some(({ kind }) => kind === "block") ?? false;
}

interface Round {
  readonly input: ResolveInput;
  readonly direction: Rule["direction"];
  readonly rules: readonly Rule[];
  /** What holds where no rule matches. */
  readonly unmatched: "allow" | "deny";
  readonly step: Step;
}

function resolveRound({ input, direction, rules, unmatched, step }: Round): EntrySource {
  const isolating = rules.flatMap((rule, index) => (rule.defaultDeny ? [index] : []));
  const otherwise: Decision = { verdict: unmatched, precedence: defaultPrecedence, rules: isolating };
  const terms = { unmatched: otherwise, passed: otherwise, tellsPass: needsRounds(rules) };
  const blockPlace = Math.max(0, ...rules.filter(isAboutBlocks).map(placeOfRule));
  const numberOf = ruleNumbers(input, rules);
  const say = (found: readonly GroupEntry[]): Said[] =>
    found.map(({ decision, proto, port, portBits }) => {
      const precedence = yieldingTo(blockPlace, decision.precedence);
      const { verdict } = decision;
      return { direction, ...step, proto, portBits, port, verdict, precedence, rule: numberOf(decision) };
    });
  const context = { rules, direction, peers: input.peers, ports: input.ports };
  const anybody = reachesOf(context, undefined, indexesOfAny(rules));
  const ranked = blockPlace > 0;
  const saidOf = ({ block, reaches }: Group): Said[] => {
    const reached = reaches();
    const protos = protosOf(reached);
    if (block) {
      const whole = cellsOf(rules, reached, protos, { ...terms, unmatched: nothing });
      const said = entriesOf(whole, undefined, true);
      return say(said.filter(({ decision, proto }) => rankOf(decision) > 0 || proto !== 0));
    }
    const base = cellsOf(rules, anybody, protos, terms);
    return say(entriesOf(cellsOf(rules, reached, protos, terms), base, ranked));
  };
  const { all, of, groupOf } = grouping(context);
  const known = new Map<string, readonly Said[]>();
  const entriesFor = (identity: number, special: readonly number[]): PolicyEntry[] => {
    const group = groupOf(identity, special);
    let said = known.get(group.key);
    if (!said) {
      said = saidOf(group);
      known.set(group.key, said);
    }
    return said.map((one) => entryFor(identity, one));
  };
  return {
    all() {
      const anyCells = cellsOf(rules, anybody, protosOf(anybody), terms);
      const out = say(entriesOf(anyCells, undefined, ranked)).map((one) => entryFor(0, one));
      for (const [identity, special] of all()) out.push(...entriesFor(identity, special));
      return out;
    },
    of(identity) {
      const special = of(identity);
      return special.length === 0 ? [] : entriesFor(identity, special);
    },
  };
}

/** Numbers of the sets of rules that decide. */
function ruleNumbers(input: ResolveInput, rules: readonly Rule[]): (decision: Decision) => number {
  const numbers = new Map<string, number>();
  return (decision) => {
    const key = `${isExplicit(decision)} ${decision.rules.join()}`;
    const known = numbers.get(key);
    if (known !== undefined) return known;
    const number = decision === nothing ? 0 : input.ruleId(originsOf(rules, decision));
    numbers.set(key, number);
    return number;
  };
}

/** Where the rules of blocks say nothing: a hole in a wider range that they speak of. It has the lowest place. */
const nothing: Decision = { verdict: "deny", precedence: defaultPrecedence, rules: [] };

/** Who isolates is the object as a whole, not one of its rules. */
function originsOf(rules: readonly Rule[], decision: Decision): RuleOrigin[] {
  const origins = decision.rules.map((index) => rules[index]!.origin);
  if (isExplicit(decision)) return origins;
  return origins.map(({ kind, namespace, name, uid, objectSource: source }) => ({
    ...{ kind, namespace, name, uid, index: -1 },
    ...(source !== undefined && { source }),
  }));
}
