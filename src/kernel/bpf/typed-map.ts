// SPDX-License-Identifier: Apache-2.0

import { viewOf } from "#kernel/bpf/elf.ts";
import type { Layout } from "#kernel/bpf/layout.ts";
import { type BpfMap, possibleCpus, type UpdateMode } from "#kernel/bpf/map.ts";
import { WeftError } from "#lib/errors.ts";

/** A map whose keys and values are objects. Errors are those of {@link BpfMap}. */
export interface TypedMap<K, V> {
  readonly map: BpfMap;
  get(key: K): V | undefined;
  set(key: K, value: V, mode?: UpdateMode): void;
  /** True when the key was there. */
  delete(key: K): boolean;
  /** Everything, as it is while reading: see `BpfMap.keys` for changes meanwhile. */
  entries(): Generator<readonly [key: K, value: V]>;
  /** Writes many in few system calls. @throws KernelError that names the first element refused; those before are in */
  setMany(entries: Iterable<readonly [key: K, value: V]>): void;
  /** Deletes many; keys that are not there are passed over. */
  deleteMany(keys: Iterable<K>): void;
}

/** @throws WeftError E_BPF_MAP when the layouts do not have the map's sizes */
export function typedMap<K, V>(map: BpfMap, key: Layout<K>, value: Layout<V>): TypedMap<K, V> {
  checkSize(map, key, map.info.keySize);
  checkSize(map, value, map.valueBytes);
  const room = <T>(layout: Layout<T>, count: number) => {
    const bytes = new Uint8Array(count * layout.size);
    return { bytes, view: viewOf(bytes) };
  };
  return {
    map,
    get: (k) => {
      key.write(map.key.view, 0, k);
      return map.lookupScratch() ? value.read(map.value.view, 0) : undefined;
    },
    set: (k, v, mode) => {
      key.write(map.key.view, 0, k);
      value.write(map.value.view, 0, v);
      map.updateScratch(mode);
    },
    delete: (k) => {
      key.write(map.key.view, 0, k);
      return map.deleteScratch();
    },
    *entries() {
      for (const [k, v] of map.entries()) yield [key.read(viewOf(k), 0), value.read(viewOf(v), 0)] as const;
    },
    setMany: (entries) => {
      const list = Array.isArray(entries) ? (entries as readonly (readonly [K, V])[]) : [...entries];
      const [keys, values] = [room(key, list.length), room(value, list.length)];
      list.forEach(([k, v], i) => {
        key.write(keys.view, i * key.size, k);
        value.write(values.view, i * value.size, v);
      });
      map.updateMany(keys.bytes, values.bytes);
    },
    deleteMany: (gone) => {
      const list = [...gone];
      const keys = room(key, list.length);
      list.forEach((k, i) => {
        key.write(keys.view, i * key.size, k);
      });
      map.deleteMany(keys.bytes);
    },
  };
}

function checkSize(map: BpfMap, layout: Layout<unknown>, size: number): void {
  if (layout.size === size) return;
  throw new WeftError(
    "E_BPF_MAP",
    `map ${map.name}: layout ${layout.name} has ${layout.size} bytes, the map ${size}`,
  );
}

/** Values of a per-CPU map: one per possible CPU, by its number. */
export function perCpu<T>(layout: Layout<T>): Layout<readonly T[]> {
  const stride = (layout.size + 7) & ~7;
  const count = possibleCpus();
  return {
    name: `${layout.name} per CPU`,
    size: stride * count,
    read: (view, offset) =>
      Array.from({ length: count }, (_, cpu) => layout.read(view, offset + cpu * stride)),
    write: (view, offset, values) => {
      if (values.length !== count)
        throw new WeftError("E_BPF_MAP", `${values.length} values for ${count} CPUs`);
      values.forEach((value, cpu) => {
        layout.write(view, offset + cpu * stride, value);
      });
    },
  };
}

/** A plain `__u32` in host order: array indexes, ifindexes, the inner map's id or fd in a map-in-map. */
export const u32Layout: Layout<number> = {
  name: "u32",
  size: 4,
  read: (view, offset) => view.getUint32(offset, true),
  write: (view, offset, value) => view.setUint32(offset, value, true),
};

/** A plain `__u64` in host order. */
export const u64Layout: Layout<bigint> = {
  name: "u64",
  size: 8,
  read: (view, offset) => view.getBigUint64(offset, true),
  write: (view, offset, value) => view.setBigUint64(offset, value, true),
};

/** One value as bytes, for constants and test contexts. */
export function encode<T>(layout: Layout<T>, value: T): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  layout.write(viewOf(bytes), 0, value);
  return bytes;
}
