// SPDX-License-Identifier: Apache-2.0
import type { Prefix } from "#model/ip.ts";
import { requiredPrefixes } from "./peer.ts";
import type { Rule } from "./rule.ts";

/** Prefixes that need identities of their own: of parts of the world, and of addresses whoever has them. */
export interface RequiredPrefixes {
  readonly cidrs: ReadonlySet<Prefix>;
  readonly blocks: ReadonlySet<Prefix>;
}

interface OfPolicy {
  readonly cidrs: readonly Prefix[];
  readonly blocks: readonly Prefix[];
}

const none: OfPolicy = { cidrs: [], blocks: [] };

/** Counts which prefixes the policies name, one policy at a time. */
export class PrefixCounts {
  readonly #ofPolicy = new Map<string, OfPolicy>();
  readonly #counts = { cidrs: new Map<Prefix, number>(), blocks: new Map<Prefix, number>() };
  #changed = false;

  set(policy: string, rules: readonly Rule[]): void {
    const before = this.#ofPolicy.get(policy) ?? none;
    const after = prefixesOf(rules);
    for (const kind of ["cidrs", "blocks"] as const) {
      for (const prefix of after[kind]) this.#add(kind, prefix, 1);
      for (const prefix of before[kind]) this.#add(kind, prefix, -1);
    }
    if (after.cidrs.length + after.blocks.length > 0) this.#ofPolicy.set(policy, after);
    else this.#ofPolicy.delete(policy);
  }

  /** How many there would be if the policy had these rules. */
  countsWith(policy: string, rules: readonly Rule[]): { readonly cidrs: number; readonly blocks: number } {
    const before = this.#ofPolicy.get(policy) ?? none;
    const after = prefixesOf(rules);
    const count = (kind: keyof OfPolicy) => {
      const counts = this.#counts[kind];
      const own = new Set(before[kind]);
      const kept = new Set(after[kind]);
      const more = after[kind].filter((prefix) => !counts.has(prefix)).length;
      const fewer = [...own].filter((prefix) => counts.get(prefix) === 1 && !kept.has(prefix)).length;
      return counts.size + more - fewer;
    };
    return { cidrs: count("cidrs"), blocks: count("blocks") };
  }

  all(): RequiredPrefixes {
    return { cidrs: new Set(this.#counts.cidrs.keys()), blocks: new Set(this.#counts.blocks.keys()) };
  }

  /** All of them, when they are others than at the last call. */
  takeChanged(): RequiredPrefixes | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    return this.all();
  }

  #add(kind: keyof OfPolicy, prefix: Prefix, by: 1 | -1): void {
    const counts = this.#counts[kind];
    const before = counts.get(prefix) ?? 0;
    if (before + by === 0) counts.delete(prefix);
    else counts.set(prefix, before + by);
    if (before === 0 || before + by === 0) this.#changed = true;
  }
}

function prefixesOf(rules: readonly Rule[]): OfPolicy {
  return { cidrs: requiredPrefixes("cidr", rules), blocks: requiredPrefixes("block", rules) };
}
