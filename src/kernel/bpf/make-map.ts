// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, renameSync } from "node:fs";
import type { Btf } from "#kernel/bpf/btf.ts";
import { type Carried, carry, openInner } from "#kernel/bpf/carry.ts";
import {
  effectiveMaxEntries,
  innerDifferences,
  type MapDifference,
  MapIncompatibleError,
  mapDifferences,
} from "#kernel/bpf/compatible.ts";
import { viewOf } from "#kernel/bpf/elf.ts";
import { explainFailure, type Feature, features } from "#kernel/bpf/features.ts";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap, type CreateMapOptions } from "#kernel/bpf/map.ts";
import type { MapSpec } from "#kernel/bpf/map-spec.ts";
import { pinPath, unpin } from "#kernel/bpf/pin.ts";
import { hasErrno } from "#kernel/errno.ts";
import type { Fd } from "#kernel/fd.ts";
import { WeftError } from "#lib/errors.ts";

/** An object's types: to read, and as the kernel has them. */
export interface LoadedBtf {
  readonly types: Btf;
  readonly fd: Fd;
}

export interface MapSettings {
  readonly spec: MapSpec;
  /** Data sections: what the one element starts with. */
  readonly contents?: Uint8Array | undefined;
  /** Types of the object, for maps whose keys and values have any. */
  readonly btf?: LoadedBtf | undefined;
  /** Pin there under the map's name, or adopt what is pinned. */
  readonly pinDir?: string | undefined;
  /** Replace a pinned map that does not fit instead of failing; its content is taken over where that is possible. */
  readonly rebuild?: boolean;
}

export interface MadeMap {
  readonly map: BpfMap;
  readonly adopted: boolean;
  /** How the pinned map differed that this one replaces; empty: what was pinned there was no map. */
  readonly differences: readonly MapDifference[] | undefined;
  /** What was taken over of that one. */
  readonly carried?: Carried;
}

/** Makes a map, or adopts the pinned one. @throws MapIncompatibleError E_MAP_INCOMPATIBLE; KernelError; E_NOT_SUPPORTED */
export function makeMap(settings: MapSettings): MadeMap {
  const { spec, pinDir, rebuild = false } = settings;
  if (pinDir === undefined) return { map: createFromSpec(settings), adopted: false, differences: undefined };
  mkdirSync(pinDir, { recursive: true, mode: 0o700 });
  const path = pinPath(pinDir, spec.name);
  const pinned = openIfPinned(path, rebuild);
  if (pinned === "something else") {
    unpin(path);
    return { map: createPinned(settings, path), adopted: false, differences: [] };
  }
  if (pinned === undefined)
    return { map: createPinned(settings, path), adopted: false, differences: undefined };
  const differences = allDifferences(settings, pinned);
  if (differences?.length === 0) return { map: pinned, adopted: true, differences: undefined };
  if (differences !== undefined && rebuild) return { ...replacePinned(settings, pinned, path), differences };
  pinned.close();
  if (differences !== undefined) throw new MapIncompatibleError(path, differences);
  unpin(path);
  return { map: createPinned(settings, path), adopted: false, differences };
}

/** The old map stays pinned until the new one has its content: an agent that is killed in between starts over. */
function replacePinned(
  settings: MapSettings,
  old: BpfMap,
  path: string,
): Pick<MadeMap, "map" | "adopted" | "carried"> {
  using undo = new DisposableStack();
  undo.use(old);
  unpin(`${path}_new`);
  const map = undo.use(createFromSpec(settings));
  const types = settings.btf?.types;
  const carried = carry(settings.spec, { old, to: map, ...(types && { btf: types }) });
  map.pin(`${path}_new`);
  renameSync(`${path}_new`, path);
  undo.move();
  return { map, adopted: false, carried };
}

/** Also of the inner maps, which the kernel shows of those only that are in the map; of an empty one it says whether they would do. */
function allDifferences(settings: MapSettings, pinned: BpfMap): MapDifference[] | undefined {
  const { spec, btf } = settings;
  const differences = mapDifferences(spec, pinned.info, btf?.types);
  if (spec.inner === undefined || differences.length > 0) return differences;
  for (const [, value] of pinned.entries()) {
    using inner = openInner(value);
    if (inner) return innerDifferences(spec.inner, inner.info, btf?.types);
  }
  return takesInner(settings, pinned) ? [] : undefined;
}

/**
 * Whether the kernel would let an inner map of the definition into the empty map. It looks at that first; then it finds that there
 * is no such element to be replaced, so nothing is written.
 */
function takesInner({ spec, btf }: MapSettings, outer: BpfMap): boolean {
  if (spec.inner === undefined || spec.type !== MapType.hashOfMaps) return false;
  using inner = createFromSpec({ spec: spec.inner, btf });
  const fd = new Uint8Array(4);
  viewOf(fd).setUint32(0, inner.fd.number, true);
  try {
    outer.update(new Uint8Array(outer.info.keySize), fd, "exist");
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return true;
    if (hasErrno(error, "EINVAL")) return false;
    throw error;
  }
}

function openIfPinned(path: string, rebuild: boolean): BpfMap | "something else" | undefined {
  try {
    return BpfMap.openPinned(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    if (rebuild && error instanceof WeftError && error.code === "E_BPF_PIN") return "something else";
    throw error;
  }
}

function createPinned(settings: MapSettings, path: string): BpfMap {
  const map = createFromSpec(settings);
  try {
    map.pin(path);
    return map;
  } catch (error) {
    map.close();
    throw error;
  }
}

/** Types whose keys and values may be described; the kernel refuses it for others. */
const DESCRIBED: ReadonlySet<number> = new Set([
  MapType.hash,
  MapType.array,
  MapType.percpuHash,
  MapType.percpuArray,
  MapType.lruHash,
  MapType.lruPercpuHash,
  MapType.lpmTrie,
  MapType.skStorage,
]);

const NEEDS: Readonly<Record<number, Feature>> = {
  [MapType.ringbuf]: features.ringbuf,
  [MapType.lpmTrie]: features.lpmTrie,
  [MapType.hashOfMaps]: features.mapInMap,
  [MapType.arrayOfMaps]: features.mapInMap,
};

function createFromSpec({ spec, contents, btf }: MapSettings): BpfMap {
  // Map-in-map: the kernel learns the shape of the inner maps from one of them, which it does not keep.
  using template = spec.inner === undefined ? undefined : createFromSpec({ spec: spec.inner, btf });
  // Only the map of a data section may go without a type for its key.
  const typed = spec.valueType !== 0 && (spec.keyType !== 0 || contents !== undefined);
  const types = typed && DESCRIBED.has(spec.type) ? btf : undefined;
  const options = { ...spec, maxEntries: effectiveMaxEntries(spec), innerMap: template };
  let map: BpfMap;
  try {
    map =
      types === undefined
        ? BpfMap.create(options)
        : createDescribed({ ...options, btf: { fd: types.fd, key: spec.keyType, value: spec.valueType } });
  } catch (error) {
    const needs = (spec.flags & MapFlag.mmapable) !== 0 ? features.mmapable : NEEDS[spec.type];
    throw explainFailure(needs, error);
  }
  if (contents !== undefined) fill(map, contents, (spec.flags & MapFlag.rdonlyProg) !== 0);
  return map;
}

/** Some descriptions are right and refused all the same (an array's key as a struct): then without one. */
function createDescribed(options: CreateMapOptions): BpfMap {
  try {
    return BpfMap.create(options);
  } catch (error) {
    if (!hasErrno(error, "EINVAL")) throw error;
    return BpfMap.create({ ...options, btf: undefined });
  }
}

function fill(map: BpfMap, contents: Uint8Array, constant: boolean): void {
  try {
    map.update(new Uint8Array(4), contents);
    if (constant) map.freeze();
  } catch (error) {
    map.close();
    throw error;
  }
}

/**
 * A fresh inner map for a map-in-map, of the shape its definition gives, with another size when `maxEntries` is given
 * (hash and LPM maps; arrays need `BPF_F_INNER_MAP` for that). Put its fd into the outer map, then close it.
 */
export function createInnerMap(outer: MapSpec, maxEntries?: number): BpfMap {
  if (outer.inner === undefined) throw new TypeError(`map ${outer.name} is not a map-in-map`);
  return createFromSpec({ spec: maxEntries === undefined ? outer.inner : { ...outer.inner, maxEntries } });
}
