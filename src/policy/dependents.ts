// SPDX-License-Identifier: Apache-2.0
import type { DistinctPolicy } from "./distinct.ts";

/**
 * Which policies were made of what: peers and names of ports, as texts (see `IdentityIndex`). And which identities came to, left, or changed
 * within what a text stands for since that was last asked.
 */
export class Dependents {
  readonly #byText = new Map<string, Set<DistinctPolicy>>();
  readonly #touched = new Map<string, Set<number>>();

  touch(identity: number, texts: readonly string[]): void {
    for (const text of texts) {
      const found = this.#touched.get(text);
      if (found) found.add(identity);
      else this.#touched.set(text, new Set([identity]));
    }
  }

  /** Policies with the identities of which they may say something else by now. */
  take(): Map<DistinctPolicy, Set<number>> {
    const out = new Map<DistinctPolicy, Set<number>>();
    for (const [text, identities] of this.#touched) {
      for (const policy of this.#byText.get(text) ?? []) {
        const all = out.get(policy) ?? new Set();
        for (const identity of identities) all.add(identity);
        out.set(policy, all);
      }
    }
    this.#touched.clear();
    return out;
  }

  /** Sets what a policy is made of. Returns the texts that nothing is made of any more. */
  set(policy: DistinctPolicy, texts: ReadonlySet<string>): string[] {
    for (const text of texts) {
      const found = this.#byText.get(text);
      if (found) found.add(policy);
      else this.#byText.set(text, new Set([policy]));
    }
    const unused: string[] = [];
    for (const text of policy.depends) {
      if (texts.has(text)) continue;
      const found = this.#byText.get(text);
      found?.delete(policy);
      if (found?.size !== 0) continue;
      this.#byText.delete(text);
      unused.push(text);
    }
    policy.depends = texts;
    return unused;
  }
}
