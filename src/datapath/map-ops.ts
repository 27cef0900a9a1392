// SPDX-License-Identifier: Apache-2.0
import type { TypedMap } from "#kernel/bpf/typed-map.ts";
import type { Failures, ReconcilerOps } from "#store/reconciler.ts";

/** One element of a map: what a desired row becomes when it is exactly one. */
export interface MapEntry<K, V> {
  readonly key: K;
  readonly value: V;
}

/** Operations of a reconciler whose rows are single elements of one map. `keyText` names an element as the desired table names its row. */
export function mapOps<K, V>(
  map: TypedMap<K, V>,
  keyText: (key: K) => string,
): ReconcilerOps<MapEntry<K, V>> {
  return {
    *list() {
      for (const [key, value] of map.entries()) yield [keyText(key), { key, value }] as const;
    },
    update: (batch) => {
      if (batch.size > 1) {
        try {
          map.setMany([...batch.values()].map(({ key, value }) => [key, value] as const));
          return undefined;
        } catch {
          // One element was refused: write them one by one, so that the others are in and it is named.
        }
      }
      return eachEntry(batch, ({ key, value }) => map.set(key, value));
    },
    delete: (batch) => eachEntry(batch, ({ key }) => void map.delete(key)),
  };
}

/** Applies the work to each entry; those that throw are the failures. */
export function eachEntry<A>(batch: ReadonlyMap<string, A>, work: (entry: A) => void): Failures {
  const failures = new Map<string, unknown>();
  for (const [name, entry] of batch) {
    try {
      work(entry);
    } catch (error) {
      failures.set(name, error);
    }
  }
  return failures;
}
