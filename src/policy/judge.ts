// SPDX-License-Identifier: Apache-2.0
import type { Rule, Tier } from "./rule.ts";

/** What the rules that match one (identity, protocol, port) say about it together. */
export interface Decision {
  readonly verdict: "allow" | "deny";
  /** Higher wins in the datapath, the lowest bit aside: that is clear when no rule matched and this is the default. */
  readonly precedence: number;
  /** Those that say so; of the default, those that isolate. Indexes into the list of rules, ascending. */
  readonly rules: readonly number[];
}

const tiers: readonly Tier[] = ["admin", "normal", "baseline"];
const tierRank = { admin: 2, normal: 1, baseline: 0 } as const;
/**
 * Odd: a rule says so. Even: the default, reached through a pass. Both ends of a pass have one place in the order, which leaves the
 * lowest bit out: whatever a pass leads an identity to, its own entry says it and wins the tie with anybody's.
 */
const outcomeRank = { allow: 1, passToDefault: 2, passToRule: 3, deny: 5 } as const;

/**
 * Order of rules: tier, then priority (lower first), then deny before pass before allow. What a pass leads to has the pass's
 * own place, since it must win over what the pass skipped. Never 0.
 * @param rule with a priority of 0 to 65535
 */
function precedenceOf(rule: Pick<Rule, "tier" | "priority">, outcome: keyof typeof outcomeRank): number {
  return (tierRank[rule.tier] * 65536 + 65536 - rule.priority) * 8 + outcomeRank[outcome];
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
    const precedence = passed
      ? precedenceOf(passed, "passToRule")
      : precedenceOf(rules[winners[0]!]!, action);
    return { verdict: action, precedence, rules: winners };
  }
  return passed ? { ...otherwise, precedence: precedenceOf(passed, "passToDefault") } : otherwise;
}

/** A rule says so; false: it is the default. */
export function isExplicit(decision: Decision): boolean {
  return decision.precedence % 2 === 1;
}

/** Where a decision stands among others in the datapath. */
export function rankOf(decision: Decision): number {
  return decision.precedence >>> 1;
}
