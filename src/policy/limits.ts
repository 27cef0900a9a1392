// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { policyKey } from "./policy-key.ts";
import type { PrefixCounts } from "./required-prefixes.ts";
import type { PolicyEntry, Rule } from "./rule.ts";
import type { RuleIds } from "./rule-ids.ts";

/** What a node's maps hold of policy. */
export interface PolicyLimits {
  /** Entries of one policy map. */
  readonly entries: number;
  /** Prefixes of CIDRs that all policies name together: the ipcache has room for the addresses of pods and nodes besides. */
  readonly cidrs: number;
  /** Prefixes of blocks. */
  readonly blocks: number;
}

export const unlimited: PolicyLimits = {
  entries: Number.POSITIVE_INFINITY,
  cidrs: Number.POSITIVE_INFINITY,
  blocks: Number.POSITIVE_INFINITY,
};

/** Why a policy that is right in itself is not in force on this node, as it was last written. */
export interface Refusal {
  /** Its key: see `policyKey`. */
  readonly policy: string;
  /** What it would take, of what there is room for. */
  readonly count: number;
  readonly limit: number;
  readonly message: string;
}

/** A policy of which a map would be too large. */
export function tooManyEntries(policy: string, [count, limit]: readonly [number, number]): Refusal {
  const what = `a policy map of this node would have ${count} entries with it, more than ${limit}`;
  return refusal(policy, [count, limit], what);
}

/** A policy with which there would be too many prefixes, if so. */
export function tooManyPrefixes(
  counts: PrefixCounts,
  [policy, rules]: readonly [string, readonly Rule[]],
  limits: PolicyLimits,
): Refusal | undefined {
  const would = counts.countsWith(policy, rules);
  for (const kind of ["cidrs", "blocks"] as const) {
    const [count, limit] = [would[kind], limits[kind]];
    const name = kind === "cidrs" ? "CIDRs" : "ipBlocks";
    if (count > limit)
      return refusal(
        policy,
        [count, limit],
        `all policies together would name ${count} prefixes of ${name} with it, more than ${limit}`,
      );
  }
  return undefined;
}

function refusal(policy: string, [count, limit]: readonly [number, number], what: string): Refusal {
  const hint =
    "let its rules select fewer distinct identities or prefixes, or write port ranges that are whole blocks of ports";
  const { message } = new WeftError("E_POLICY_TOO_LARGE", `${policy}: ${what}`, { hint });
  return { policy, count, limit, message: `${message}; ${hint}` };
}

/** The policy that most of the entries speak for. */
export function costliest(entries: readonly PolicyEntry[], ruleIds: RuleIds): string | undefined {
  const counts = new Map<string, number>();
  let best: string | undefined;
  for (const { rule } of entries) {
    const keys = new Set((ruleIds.origins(rule) ?? []).map(policyKey));
    for (const key of keys) {
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      if (best === undefined || count > counts.get(best)!) best = key;
    }
  }
  return best;
}
