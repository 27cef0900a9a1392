// SPDX-License-Identifier: Apache-2.0

import { policyKey } from "./policy-key.ts";
import type { PolicyEntry, RuleOrigin } from "./rule.ts";

/** What a policy costs a node. */
export interface PolicyCost {
  /** Its key: see `policyKey`. */
  readonly policy: string;
  /**
   * Entries that name one of its rules, or it as the one that isolates, over all policy maps of the node. Pods with the same policies share
   * a map, whose entries count once; an entry that several policies decide counts for each of them.
   */
  readonly entries: number;
  /** Maps that have such entries. */
  readonly maps: number;
}

interface OfPolicy {
  entries: number;
  /** Entries by the map's id. */
  readonly byMap: Map<number, number>;
}

interface OfRule {
  count: number;
  /** The policies that the rule's number stands for. */
  readonly policies: readonly string[];
}

/** Counts the entries of each policy, as they come and go: a change costs what changed. */
export class PolicyCosts {
  readonly #originsOf: (rule: number) => readonly RuleOrigin[] | undefined;
  /** By map and number of rule. */
  readonly #maps = new Map<number, Map<number, OfRule>>();
  readonly #costs = new Map<string, OfPolicy>();
  readonly #changed = new Set<string>();

  /** @param originsOf what the number in an entry stands for */
  constructor(originsOf: (rule: number) => readonly RuleOrigin[] | undefined) {
    this.#originsOf = originsOf;
  }

  /** All entries of a map, whatever was known of it. */
  set(map: number, entries: readonly PolicyEntry[]): void {
    this.drop(map);
    this.move(map, [], entries);
  }

  /** Entries that left a map, and that came to it. */
  move(map: number, gone: readonly PolicyEntry[], come: readonly PolicyEntry[]): void {
    const counts = new Map<number, number>();
    for (const { rule } of gone) counts.set(rule, (counts.get(rule) ?? 0) - 1);
    for (const { rule } of come) counts.set(rule, (counts.get(rule) ?? 0) + 1);
    for (const [rule, count] of counts) if (count !== 0) this.#add(map, rule, count);
  }

  /** A map is gone. */
  drop(map: number): void {
    for (const [rule, { count }] of [...(this.#maps.get(map) ?? [])]) this.#add(map, rule, -count);
  }

  /** Costs that are others than at the last call; no entries: none any more. */
  takeChanged(): PolicyCost[] {
    const changed = Array.from(this.#changed, (policy) => {
      const { entries = 0, byMap } = this.#costs.get(policy) ?? {};
      return { policy, entries, maps: byMap?.size ?? 0 };
    });
    this.#changed.clear();
    return changed;
  }

  #add(map: number, rule: number, count: number): void {
    const rules = this.#maps.get(map) ?? new Map<number, OfRule>();
    const known = rules.get(rule) ?? { count: 0, policies: policiesOf(this.#originsOf(rule) ?? []) };
    known.count += count;
    if (known.count === 0) rules.delete(rule);
    else rules.set(rule, known);
    if (rules.size === 0) this.#maps.delete(map);
    else this.#maps.set(map, rules);
    for (const policy of known.policies) this.#charge(policy, map, count);
  }

  #charge(policy: string, map: number, count: number): void {
    const cost = this.#costs.get(policy) ?? { entries: 0, byMap: new Map<number, number>() };
    cost.entries += count;
    const here = (cost.byMap.get(map) ?? 0) + count;
    if (here === 0) cost.byMap.delete(map);
    else cost.byMap.set(map, here);
    if (cost.entries === 0) this.#costs.delete(policy);
    else this.#costs.set(policy, cost);
    this.#changed.add(policy);
  }
}

/** Each once; what no object says (`allow-localhost`) is nobody's. */
function policiesOf(origins: readonly RuleOrigin[]): string[] {
  return [...new Set(origins.filter(({ kind }) => kind !== "Implicit").map(policyKey))];
}
