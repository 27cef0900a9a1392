// SPDX-License-Identifier: Apache-2.0
import type { Rule, Tier } from "./rule.ts";

/** What the rules that match one (identity, protocol, port) say about it together. */
export interface Decision {
  readonly verdict: "allow" | "deny";
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
/** Of the default where no rule matches, not even a pass. */
export const defaultPrecedence = yieldsBit;

/**
 * Order of rules: tier, then priority (lower first), then deny before pass before allow. What a pass leads to has the pass's
 * own place, since it must win over what the pass skipped. Never 0.
 * @param rule with a priority of 0 to 65535
 */
function placeOf(rule: Pick<Rule, "tier" | "priority">, outcome: keyof typeof outcomeRank): number {
  return ((tierRank[rule.tier] * 65536 + 65536 - rule.priority) * 4 + outcomeRank[outcome]) * 4;
}

/**
 * Decides among matching rules: tier by tier the first ones in order; a pass ends its tier.
 * @param matching indexes of the rules that match, ascending
 */
export function decide(rules: readonly Rule[], matching: readonly number[], otherwise: Decision): Decision {
  let passed: Rule | undefined;
  for (const tier of tiers) {
    const inTier = matching.filter((index) => rules[index]!.tier === tier);
    if (inTier.length === 0) continue;
    const priority = Math.min(...inTier.map((index) => rules[index]!.priority));
    const front = inTier.filter((index) => rules[index]!.priority === priority);
    const action = (["deny", "pass", "allow"] as const).find((one) =>
      front.some((index) => rules[index]!.action === one),
    )!;
    if (action === "pass") {
      passed ??= rules[front[0]!]!;
      continue;
    }
    const winners = front.filter((index) => rules[index]!.action === action);
    const place = passed ? placeOf(passed, "pass") : placeOf(rules[winners[0]!]!, action);
    const precedence = place + explicitBit + (tier === "baseline" ? yieldsBit : 0);
    return { verdict: action, precedence, rules: winners };
  }
  return passed ? { ...otherwise, precedence: placeOf(passed, "pass") + yieldsBit } : otherwise;
}

/** A rule says so; false: it is the default. */
export function isExplicit(decision: Decision): boolean {
  return isExplicitPrecedence(decision.precedence);
}

/** {@link isExplicit} of an entry. */
export function isExplicitPrecedence(precedence: number): boolean {
  return (precedence & explicitBit) !== 0;
}

/** It comes from below the normal tier (the baseline tier, the default): what rules of blocks allow goes first. */
export function yieldsPrecedence(precedence: number): boolean {
  return (precedence & yieldsBit) !== 0;
}

/** Where an entry stands among others in the datapath. */
export function placeOfPrecedence(precedence: number): number {
  return precedence >>> 2;
}

/** Where a decision stands among others in the datapath. */
export function rankOf(decision: Decision): number {
  return placeOfPrecedence(decision.precedence);
}
