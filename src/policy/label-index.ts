// SPDX-License-Identifier: Apache-2.0
import type { Labels } from "#model/labels.ts";
import type { Requirement, Selector } from "./rule.ts";

/**
 * Things found by a label they ask for, so that a change of labels meets only those it may concern. A selector is kept under one of its
 * requirements: a label it must have (under the rarest), or else a key it must have; one that only forbids is met by everybody.
 */
export class SelectorIndex<T> {
  readonly #byLabel = new Map<string, Set<T>>();
  readonly #byKey = new Map<string, Set<T>>();
  readonly #always = new Set<T>();
  readonly #where = new Map<T, readonly Set<T>[]>();

  add(item: T, selector: Selector): void {
    const buckets = this.#bucketsOf(selector);
    for (const bucket of buckets) bucket.add(item);
    this.#where.set(item, buckets);
  }

  delete(item: T): void {
    for (const bucket of this.#where.get(item) ?? []) bucket.delete(item);
    this.#where.delete(item);
    if (this.#byLabel.size > 2 * this.#where.size + 64) this.#sweep();
  }

  /** Every item whose selector may match the labels: all that do, and some more. Some may come twice. */
  *candidates(labels: Labels): Iterable<T> {
    yield* this.#always;
    for (const [key, value] of labels) {
      const name = nameOf(key);
      yield* this.#byKey.get(name) ?? [];
      yield* this.#byLabel.get(`${name}=${value}`) ?? [];
    }
  }

  #bucketsOf({ requirements }: Selector): Set<T>[] {
    let best: Set<T>[] | undefined;
    let bestSize = Number.POSITIVE_INFINITY;
    for (const requirement of requirements) {
      if (requirement.operator !== "In") continue;
      const buckets = labelsOf(requirement).map((label) => bucket(this.#byLabel, label));
      const size = buckets.reduce((sum, one) => sum + one.size, 0);
      if (size < bestSize) [best, bestSize] = [buckets, size];
    }
    if (best) return best;
    const exists = requirements.find(({ operator }) => operator === "Exists");
    return exists ? [bucket(this.#byKey, nameOf(exists.key))] : [this.#always];
  }

  #sweep(): void {
    for (const map of [this.#byLabel, this.#byKey])
      for (const [key, items] of map) if (items.size === 0) map.delete(key);
  }
}

/** Numbers found by the labels they have: the other way round. */
export class LabelIndex {
  readonly #byLabel = new Map<string, Set<number>>();

  add(id: number, labels: Labels): void {
    for (const [key, value] of labels) bucket(this.#byLabel, `${nameOf(key)}=${value}`).add(id);
  }

  delete(id: number, labels: Labels): void {
    for (const [key, value] of labels) {
      const label = `${nameOf(key)}=${value}`;
      const ids = this.#byLabel.get(label);
      if (ids?.delete(id) && ids.size === 0) this.#byLabel.delete(label);
    }
  }

  /** All that a selector may match, and some more; undefined: it does not ask for a label. Some may come twice. */
  candidates({ requirements }: Selector): number[] | undefined {
    let best: ReadonlySet<number>[] | undefined;
    let bestSize = Number.POSITIVE_INFINITY;
    for (const requirement of requirements) {
      if (requirement.operator !== "In") continue;
      const found = labelsOf(requirement).flatMap((label) => this.#byLabel.get(label) ?? []);
      const size = found.reduce((sum, ids) => sum + ids.size, 0);
      if (size < bestSize) [best, bestSize] = [found, size];
    }
    return best?.flatMap((ids) => [...ids]);
  }
}

function labelsOf({ key, values }: Requirement): string[] {
  return values.map((value) => `${nameOf(key)}=${value}`);
}

/** Without source: `any:app` asks for `k8s:app` too. The world's families are of the world. */
function nameOf(key: string): string {
  const name = key.slice(key.indexOf(":") + 1);
  return name === "world-ipv4" || name === "world-ipv6" ? "world" : name;
}

function bucket<T>(map: Map<string, Set<T>>, key: string): Set<T> {
  let found = map.get(key);
  if (!found) {
    found = new Set();
    map.set(key, found);
  }
  return found;
}
