// SPDX-License-Identifier: Apache-2.0
import { type IpcacheKey, ipcacheKeyLayout } from "#datapath/layouts/ipcache-key.ts";
import { metricLayout } from "#datapath/layouts/metric.ts";
import { prefixKey, prefixOfKey } from "#datapath/prefix-key.ts";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { perCpu, type TypedMap, typedMap, u32Layout } from "#kernel/bpf/typed-map.ts";
import type { Prefix } from "#model/ip.ts";
import { mostCidrs } from "./cidrs.ts";

export interface Dropped {
  readonly packets: number;
  readonly bytes: number;
}

/** The kernel's side: map `prefilter` with the trie in force, map `prefilter_drops`. */
export class KernelPrefilter {
  readonly #outer: TypedMap<number, number>;
  readonly #drops: TypedMap<IpcacheKey, readonly { readonly packets: bigint; readonly bytes: bigint }[]>;

  constructor(map: (name: string) => BpfMap) {
    this.#outer = typedMap(map("prefilter"), u32Layout, u32Layout);
    this.#drops = typedMap(map("prefilter_drops"), ipcacheKeyLayout, perCpu(metricLayout));
  }

  /** What is in force. */
  denied(): Prefix[] {
    const id = this.#outer.get(0);
    if (id === undefined) return [];
    using inner = BpfMap.openId(id);
    return Array.from(typedMap(inner, ipcacheKeyLayout, ipcacheKeyLayout).entries(), ([key]) =>
      prefixOfKey(key),
    );
  }

  /**
   * A trie with the list, beside the one in force; `install` puts it in its place in one step. None: nothing is denied.
   * @throws KernelError when there is no memory for it
   */
  prepare(list: Iterable<Prefix>): { install(): void } & Disposable {
    const keys = Array.from(list, prefixKey);
    if (keys.length === 0) return { install: () => void this.#outer.delete(0), [Symbol.dispose]: () => {} };
    using undo = new DisposableStack();
    const inner = undo.use(createTrie());
    typedMap(inner, ipcacheKeyLayout, ipcacheKeyLayout).setMany(keys.map((key) => [key, key] as const));
    const stack = undo.move();
    return { install: () => this.#outer.set(0, inner.fd.number), [Symbol.dispose]: () => stack.dispose() };
  }

  /** What was dropped, by prefix; those without a packet are not in it. */
  drops(): Map<Prefix, Dropped> {
    return new Map(
      Array.from(this.#drops.entries(), ([key, values]) => {
        const sum = (of: "packets" | "bytes") => Number(values.reduce((all, one) => all + one[of], 0n));
        return [prefixOfKey(key), { packets: sum("packets"), bytes: sum("bytes") }] as const;
      }),
    );
  }

  /** Forgets what was dropped by prefixes that are denied no more. */
  forget(prefixes: Iterable<Prefix>): void {
    for (const prefix of prefixes) this.#drops.delete(prefixKey(prefix));
  }
}

function createTrie(): BpfMap {
  return BpfMap.create({
    name: "denied_cidrs",
    type: MapType.lpmTrie,
    keySize: ipcacheKeyLayout.size,
    valueSize: ipcacheKeyLayout.size,
    maxEntries: mostCidrs,
    flags: MapFlag.noPrealloc,
  });
}
