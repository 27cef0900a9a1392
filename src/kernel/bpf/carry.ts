// SPDX-License-Identifier: Apache-2.0
import type { Btf } from "#kernel/bpf/btf.ts";
import { readKernelBtf } from "#kernel/bpf/btf-load.ts";
import { innerDifferences } from "#kernel/bpf/compatible.ts";
import { type Convert, conversion } from "#kernel/bpf/convert.ts";
import { viewOf } from "#kernel/bpf/elf.ts";
import { MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import type { MapSpec } from "#kernel/bpf/map-spec.ts";
import { hasErrno } from "#kernel/errno.ts";

/** A map that takes the place of another, and the content it takes over. Owns the old one. */
export interface Carried extends Disposable {
  readonly name: string;
  /** Elements taken over so far. */
  readonly elements: number;
  /** Why none are; undefined when they are. */
  readonly refused: string | undefined;
  /**
   * Once no program uses the old map any more: takes over what programs have put into it since. Only of maps that none but programs
   * write; returns how many elements.
   */
  takeRest(): number;
}

/** Types that only programs fill: user space writes none of them. */
const PROGRAMS_WRITE: ReadonlySet<number> = new Set([MapType.lruHash, MapType.lruPercpuHash]);
const HASHES: readonly number[] = [MapType.hash, MapType.lruHash];
const PER_CPU_HASHES: readonly number[] = [MapType.percpuHash, MapType.lruPercpuHash];

interface Plan {
  readonly key: Convert;
  readonly value: Convert;
}

interface Maps {
  readonly old: BpfMap;
  readonly to: BpfMap;
  /** The types of the new map's definition. */
  readonly btf?: Btf;
}

/** Copies an old map's elements into a new, empty one, field by field by name; a map of maps takes over the inner maps themselves. */
export function carry(spec: MapSpec, { old, to, btf }: Maps): Carried {
  if (spec.inner !== undefined && spec.type === old.info.type)
    return carryInner(spec, { old, to, ...(btf && { btf }) });
  const plan = planOf(spec, old, btf);
  const state = { elements: typeof plan === "string" ? 0 : copyAll(plan, { old, to, onlyNew: false }) };
  return {
    name: spec.name,
    refused: typeof plan === "string" ? plan : undefined,
    get elements() {
      return state.elements;
    },
    takeRest() {
      if (typeof plan === "string" || !PROGRAMS_WRITE.has(spec.type)) return 0;
      const more = copyAll(plan, { old, to, onlyNew: true });
      state.elements += more;
      return more;
    },
    [Symbol.dispose]: () => old.close(),
  };
}

/** Programs that still use the old map go on with the same inner maps. */
function carryInner(spec: MapSpec, { old, to, btf }: Maps): Carried {
  let elements = 0;
  let refused: string | undefined;
  for (const [key, value] of old.entries()) {
    using inner = openInner(value);
    if (inner === undefined) continue;
    if (spec.inner === undefined || innerDifferences(spec.inner, inner.info, btf).length > 0) {
      refused = "inner maps of another layout";
      continue;
    }
    const fd = new Uint8Array(4);
    viewOf(fd).setUint32(0, inner.fd.number, true);
    try {
      to.update(key, fd);
      elements++;
    } catch {
      // The new map is smaller: what does not fit stays behind, and the count says so.
    }
  }
  return { name: spec.name, refused, elements, takeRest: () => 0, [Symbol.dispose]: () => old.close() };
}

/** An element of a map of maps; undefined: an empty place, or it has just gone. */
export function openInner(value: Uint8Array): BpfMap | undefined {
  const id = viewOf(value).getUint32(0, true);
  try {
    return id === 0 ? undefined : BpfMap.openId(id);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function planOf(spec: MapSpec, old: BpfMap, btf?: Btf): Plan | string {
  const { info } = old;
  const alike = (types: readonly number[]) => types.includes(info.type) && types.includes(spec.type);
  if (info.type !== spec.type && !alike(HASHES) && !alike(PER_CPU_HASHES)) return "another type of map";
  if (spec.type === MapType.ringbuf) return "this type of map has no content to copy";
  const key = convertOf("key", spec, { old, btf });
  if (typeof key === "string") return key;
  const value = convertOf("value", spec, { old, btf });
  return typeof value === "string" ? value : { key, value };
}

function convertOf(
  part: "key" | "value",
  spec: MapSpec,
  { old, btf }: { old: BpfMap; btf: Btf | undefined },
): Convert | string {
  const { info } = old;
  const [was, is, from, to] =
    part === "key"
      ? [info.keySize, spec.keySize, info.keyType, spec.keyType]
      : [info.valueSize, spec.valueSize, info.valueType, spec.valueType];
  if (btf === undefined || info.btfId === 0 || from === 0 || to === 0)
    return was === is
      ? (source, target) => target.set(source)
      : `${part}s of another size, and without types`;
  // The length of a prefix counts bits from the front of the key: no field before it may move.
  if (part === "key" && spec.type === MapType.lpmTrie && was !== is) return "prefixes of another length";
  const found = conversion(
    { btf: readKernelBtf(info.btfId), id: from },
    { btf, id: to },
    { keep: part === "key" },
  );
  return typeof found === "string" ? `${part}: ${found}` : found;
}

/** Per-CPU values stand one behind the other, each padded to 8 bytes. */
function slices(map: BpfMap, size: number): number[] {
  const padded = (size + 7) & ~7;
  return map.perCpu ? Array.from({ length: map.valueBytes / padded }, (_, i) => i * padded) : [0];
}

function copyAll(plan: Plan, { old, to, onlyNew }: { old: BpfMap; to: BpfMap; onlyNew: boolean }): number {
  const [reads, writes] = [slices(old, old.info.valueSize), slices(to, to.info.valueSize)];
  let done = 0;
  for (const [key, value] of old.entries()) {
    const newKey = new Uint8Array(to.info.keySize);
    const newValue = new Uint8Array(to.valueBytes);
    plan.key(key, newKey);
    reads.forEach((at, i) => {
      plan.value(value.subarray(at, at + old.info.valueSize), newValue.subarray(writes[i]));
    });
    if (onlyNew && to.lookup(newKey) !== undefined) continue;
    try {
      to.update(newKey, newValue);
      done++;
    } catch {
      // The new map is smaller, or an array that ends earlier: what does not fit stays behind, and the count says so.
    }
  }
  return done;
}
