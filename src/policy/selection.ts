// SPDX-License-Identifier: Apache-2.0
import type { Labels } from "#model/labels.ts";
import { SelectorIndex } from "./label-index.ts";
import type { Rule, Selector } from "./rule.ts";
import { selectorText, selects } from "./selector.ts";

/** Rules of one policy object that are about the same endpoints. */
export interface Part {
  /** Policy key and selector: what it is about, not what it says. */
  readonly key: string;
  readonly policy: string;
  readonly subject: Selector;
  readonly rules: readonly Rule[];
}

interface Selected {
  readonly labels: Labels;
  readonly parts: Set<string>;
}

/** Which parts of which policies each endpoint is selected by, kept up to date one change at a time. */
export class Selection {
  readonly #parts = new Map<string, Part>();
  readonly #bySubject = new SelectorIndex<string>();
  readonly #byPolicy = new Map<string, readonly string[]>();
  readonly #endpoints = new Map<string, Selected>();

  /** Sets the rules of a policy (none: it is gone). Returns parts whose rules changed and endpoints whose parts did. */
  setPolicy(
    policy: string,
    rules: readonly Rule[],
  ): { readonly parts: string[]; readonly endpoints: string[] } {
    const grouped = new Map<string, Part & { rules: Rule[] }>();
    for (const rule of rules) {
      const key = `${policy} ${selectorText(rule.subject)}`;
      const part = grouped.get(key);
      if (part) part.rules.push(rule);
      else grouped.set(key, { key, policy, subject: rule.subject, rules: [rule] });
    }
    const endpoints = new Set<string>();
    for (const key of this.#byPolicy.get(policy) ?? []) {
      if (grouped.has(key)) continue;
      this.#parts.delete(key);
      this.#bySubject.delete(key);
      for (const [id, selected] of this.#endpoints) if (selected.parts.delete(key)) endpoints.add(id);
    }
    for (const [key, part] of grouped) {
      if (!this.#parts.has(key)) {
        this.#bySubject.add(key, part.subject);
        for (const [id, selected] of this.#endpoints) {
          if (!selects(part.subject, selected.labels)) continue;
          selected.parts.add(key);
          endpoints.add(id);
        }
      }
      this.#parts.set(key, part);
    }
    if (grouped.size === 0) this.#byPolicy.delete(policy);
    else this.#byPolicy.set(policy, [...grouped.keys()]);
    return { parts: [...grouped.keys()], endpoints: [...endpoints] };
  }

  setEndpoint(id: string, labels: Labels): void {
    const parts = new Set<string>();
    for (const key of this.#bySubject.candidates(labels))
      if (selects(this.#parts.get(key)!.subject, labels)) parts.add(key);
    this.#endpoints.set(id, { labels, parts });
  }

  removeEndpoint(id: string): void {
    this.#endpoints.delete(id);
  }

  /** Keys of the parts that select an endpoint, sorted. */
  partsOf(id: string): string[] {
    return [...(this.#endpoints.get(id)?.parts ?? [])].sort();
  }

  part(key: string): Part | undefined {
    return this.#parts.get(key);
  }
}
