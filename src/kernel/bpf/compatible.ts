// SPDX-License-Identifier: Apache-2.0
import type { Btf } from "#kernel/bpf/btf.ts";
import { type BtfField, btfFields, btfLayoutVersion, fieldOffsets } from "#kernel/bpf/btf-fields.ts";
import { readKernelBtf } from "#kernel/bpf/btf-load.ts";
import { btfShape } from "#kernel/bpf/btf-shape.ts";
import type { TypeOf } from "#kernel/bpf/convert.ts";
import type { MapInfo } from "#kernel/bpf/info.ts";
import { MapFlag, MapType, mapTypeName } from "#kernel/bpf/kinds.ts";
import type { MapSpec } from "#kernel/bpf/map-spec.ts";
import { PAGE_SIZE } from "#kernel/memory.ts";
import { WeftError } from "#lib/errors.ts";

export interface MapDifference {
  readonly field: "type" | "keySize" | "valueSize" | "maxEntries" | "flags" | "keyLayout" | "valueLayout";
  /** The difference is of a map-in-map's inner maps. */
  readonly inner?: true;
  /** Layouts: the first field that differs (`port at 16: __be16`). */
  readonly expected: number | string;
  readonly found: number | string;
}

/** A map that cannot stand in for the one an object defines; lists every difference. */
export class MapIncompatibleError extends WeftError {
  readonly differences: readonly MapDifference[];

  constructor(map: string, differences: readonly MapDifference[]) {
    const list = differences.map(describeDifference).join(", ");
    super("E_MAP_INCOMPATIBLE", `map ${map} differs from the object's: ${list}`, {
      hint: "It was made by another version; delete the pin to start afresh.",
    });
    this.differences = differences;
  }
}

/** `value size 8 instead of 16` */
function describeDifference({ field, expected, found, inner }: MapDifference): string {
  const words = `${inner ? "inner " : ""}${field.replace(/[A-Z]/, (capital) => ` ${capital.toLowerCase()}`)}`;
  const show = (value: number | string) => {
    if (typeof value === "string") return value;
    return field === "type"
      ? mapTypeName(value)
      : field === "flags"
        ? `0x${value.toString(16)}`
        : String(value);
  };
  return `${words} ${show(found)} instead of ${show(expected)}`;
}

/**
 * Every way in which an existing map differs from the wanted one; empty: it can be used in its place. Where both are
 * described by BTF (`btf` holds the wanted types) the fields of keys and values are compared too.
 */
export function mapDifferences(spec: MapSpec, info: MapInfo, btf?: Btf): MapDifference[] {
  const differences: MapDifference[] = [];
  const compare = (field: MapDifference["field"], expected: number, found: number) => {
    if (expected !== found) differences.push({ field, expected, found });
  };
  compare("type", spec.type, info.type);
  compare("keySize", spec.keySize, info.keySize);
  compare("valueSize", spec.valueSize, info.valueSize);
  compare("maxEntries", effectiveMaxEntries(spec), info.maxEntries);
  // The kernel sets the flag by itself on what programs may only read.
  const ignored = spec.type === MapType.devmap || spec.type === MapType.devmapHash ? MapFlag.rdonlyProg : 0;
  compare("flags", spec.flags & ~ignored, info.flags & ~ignored);
  if (btf === undefined || info.btfId === 0) return differences;
  const found = readKernelBtf(info.btfId);
  const layout = (field: "keyLayout" | "valueLayout", wanted: number, there: number) => {
    if (wanted === 0 || there === 0) return;
    const [is, was] = [btfLayoutVersion(btf, wanted), btfLayoutVersion(found, there)];
    if (is !== was) differences.push({ field, expected: `version ${is}`, found: `version ${was}` });
    if (field === "valueLayout" && fillsPadding({ btf: found, id: there }, { btf, id: wanted })) return;
    const [a, b] = [btfShape(btf, wanted), btfShape(found, there)];
    const at = a.findIndex((line, i) => line !== b[i]);
    if (at >= 0 || b.length > a.length) {
      const i = at < 0 ? a.length : at;
      differences.push({ field, expected: a[i] ?? "nothing", found: b[i] ?? "nothing" });
    }
  };
  if (info.keySize === spec.keySize) layout("keyLayout", spec.keyType, info.keyType);
  if (info.valueSize === spec.valueSize) layout("valueLayout", spec.valueType, info.valueType);
  return differences;
}

/**
 * Whether one layout is the other with new fields where that had padding, which is zero: the map can stay, and nothing that programs note
 * meanwhile is lost on a way from one map to another.
 */
function fillsPadding(old: TypeOf, now: TypeOf): boolean {
  const padding = new Set<number>();
  const there = new Set<string>();
  for (const field of btfFields(old.btf, old.id))
    if (isPadding(field)) for (const byte of bytesOf(field)) padding.add(byte);
    else there.add(lineOf(field));
  for (const field of btfFields(now.btf, now.id)) {
    if (there.delete(lineOf(field)) || isPadding(field)) continue;
    if (field.bits > 0 || bytesOf(field).some((byte) => !padding.has(byte))) return false;
  }
  return there.size === 0;
}

/** By its name, as bpf/lib/layout.h says. */
const isPadding = ({ path }: BtfField) => /(^|\.)pad\d*(\[\d+\])*$/.test(path);
const lineOf = ({ path, offset, scalar }: BtfField) => `${path} at ${offset}: ${scalar}`;
const bytesOf = (field: BtfField) =>
  fieldOffsets(field).flatMap((at) => Array.from({ length: field.size }, (_, i) => at + i));

/** Ring buffers are a power of two of whole pages. */
export function effectiveMaxEntries(spec: MapSpec): number {
  if (spec.type !== MapType.ringbuf) return spec.maxEntries;
  let size = PAGE_SIZE;
  while (size < spec.maxEntries) size *= 2;
  return size;
}

/** The kernel takes inner maps of any size (arrays not meant for it apart), else they must be alike. */
export function innerDifferences(spec: MapSpec, info: MapInfo, btf?: Btf): MapDifference[] {
  const sized = spec.type === MapType.array && (spec.flags & MapFlag.innerMap) === 0;
  return mapDifferences(spec, info, btf)
    .filter(({ field }) => field !== "maxEntries" || sized)
    .map((difference) => ({ ...difference, inner: true }));
}
