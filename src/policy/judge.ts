// SPDX-License-Identifier: Apache-2.0
import type { Rule, Tier } from "./rule.ts";

/** What the rules that match one (identity, protocol, port) say about it together. */
export interface Decision {
  /** `pass`: an admin tier's, where the tiers after it are another round of look-ups. */
  readonly verdict: "allow" | "deny" | "pass";
  /** Higher wins in the datapath, the two lowest bits aside: {@link isExplicitPrecedence}, {@link yieldsPrecedence}. */
  readonly precedence: number;
  /** Those that say so; of the default, those that isolate. Indexes into the list of rules, ascending. */
  readonly rules: readonly number[];
}

const tiers: readonly Tier[] = ["admin", "normal", "baseline"];
const tierRank = { admin: 2, normal: 1, baseline: 0 } as const;
const explicitBit = 1;
const yieldsBit = 2;
/**
 * Both ends of a pass have one place in the order: whatever a pass leads an identity to, its own entry says it and wins the tie with
 * anybody's.
 */
const outcomeRank = { allow: 0, pass: 1, deny: 2 } as const;
/** Of the default where no rule matches, not even a pass: the lowest place. */
export const defaultPrecedence = 0;

/** How to decide where no rule allows or denies. */
export interface Terms {
  /** No rule matches. */
  readonly unmatched: Decision;
  /** The last one to match passes: its verdict and rules. */
  readonly passed: Decision;
  /** An admin tier's pass is the decision itself: what it leads to is asked in another round. */
  readonly tellsPass: boolean;
}

/**
 * Order of rules: tier, then priority (lower first), then deny before pass before allow. What a pass leads to has the pass's
 * own place, since it must win over what the pass skipped. Never 0.
 * @param rule with a priority of 0 to 65535
 */
function precedenceOf(rule: Pick<Rule, "tier" | "priority">, outcome: Rule["action"]): number {
  return ((tierRank[rule.tier] * 65536 + 65536 - rule.priority) * 4 + outcomeRank[outcome]) * 4;
}

/** The place ({@link placeOfPrecedence}) of what a rule says. Never 0. */
export function placeOfRule(rule: Pick<Rule, "tier" | "priority" | "action">): number {
  return placeOfPrecedence(precedenceOf(rule, rule.action));
}

/**
 * Decides among matching rules: tier by tier the first ones in order; a pass ends its tier.
 * @param matching indexes of the rules that match, ascending
 */
export function decide(rules: readonly Rule[], matching: readonly number[], terms: Terms): Decision {
  let passed: Rule | undefined;
  for (const tier of tiers) {
    const inTier = matching.filter((index) => rules[index]!.tier === tier);
    if (inTier.length === 0) continue;
    const priority = Math.min(...inTier.map((index) => rules[index]!.priority));
    const front = inTier.filter((index) => rules[index]!.priority === priority);
    const action = (["deny", "pass", "allow"] as const).find((one) =>
      front.some((index) => rules[index]!.action === one),
    )!;
    const winners = front.filter((index) => rules[index]!.action === action);
    if (action === "pass" && !(terms.tellsPass && tier === "admin")) {
      passed ??= rules[front[0]!]!;
      continue;
    }
    const precedence = passed ? precedenceOf(passed, "pass") : precedenceOf(rules[winners[0]!]!, action);
    return { verdict: action, precedence: precedence + explicitBit, rules: winners };
  }
  return passed ? { ...terms.passed, precedence: precedenceOf(passed, "pass") } : terms.unmatched;
}

/** A rule says so; false: it is the default. */
export function isExplicit(decision: Decision): boolean {
  return isExplicitPrecedence(decision.precedence);
}

/** {@link isExplicit} of an entry. */
export function isExplicitPrecedence(precedence: number): boolean {
  return (precedence & explicitBit) !== 0;
}

/** A rule of blocks may have a higher place: the block's entries are asked too. */
export function yieldsPrecedence(precedence: number): boolean {
  return (precedence & yieldsBit) !== 0;
}

/** The precedence in an entry that gives way to blocks of up to this place; 0: there are none. */
export function yieldingTo(blockPlace: number, precedence: number): number {
  return placeOfPrecedence(precedence) < blockPlace ? precedence | yieldsBit : precedence;
}

/** Where an entry stands among others in the datapath. */
export function placeOfPrecedence(precedence: number): number {
  return precedence >>> 2;
}

/** Where a decision stands among others in the datapath. */
export function rankOf(decision: Decision): number {
  return placeOfPrecedence(decision.precedence);
}
