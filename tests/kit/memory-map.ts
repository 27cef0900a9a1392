// SPDX-License-Identifier: Apache-2.0
import type { Layout } from "#kernel/bpf/layout.ts";
import type { TypedMap } from "#kernel/bpf/typed-map.ts";

/** A map's twin in memory, with the map's own codecs; counts what was written. */
export interface MemoryMap<K, V> extends Omit<TypedMap<K, V>, "map"> {
  /** Elements written or deleted since the count was last set. */
  writes: number;
  readonly size: number;
  /** Called before each write or deletion of one element; throws to refuse it. */
  onWrite: (kind: "set" | "delete", key: K) => void;
}

export function memoryMap<K, V>(keyLayout: Layout<K>, valueLayout: Layout<V>): MemoryMap<K, V> {
  const held = new Map<string, string>();
  const encode = <T>(layout: Layout<T>, value: T): string => {
    const bytes = new Uint8Array(layout.size);
    layout.write(new DataView(bytes.buffer), 0, value);
    return Buffer.from(bytes).toString("latin1");
  };
  const decode = <T>(layout: Layout<T>, text: string): T => {
    const bytes = Uint8Array.from(Buffer.from(text, "latin1"));
    return layout.read(new DataView(bytes.buffer), 0);
  };
  const map: MemoryMap<K, V> = {
    writes: 0,
    get size() {
      return held.size;
    },
    onWrite: () => {},
    get(key) {
      const found = held.get(encode(keyLayout, key));
      return found === undefined ? undefined : decode(valueLayout, found);
    },
    set(key, value) {
      map.onWrite("set", key);
      map.writes++;
      held.set(encode(keyLayout, key), encode(valueLayout, value));
    },
    delete(key) {
      map.onWrite("delete", key);
      map.writes++;
      return held.delete(encode(keyLayout, key));
    },
    *entries() {
      for (const [key, value] of held) yield [decode(keyLayout, key), decode(valueLayout, value)] as const;
    },
    setMany(entries) {
      for (const [key, value] of entries) map.set(key, value);
    },
    deleteMany(keys) {
      for (const key of keys) map.delete(key);
    },
  };
  return map;
}
