// SPDX-License-Identifier: Apache-2.0
import { bad, stringAt, viewOf } from "#kernel/bpf/elf.ts";

/** Kinds of BTF types (Documentation/bpf/btf.rst). */
export const BtfKind = {
  void: 0,
  int: 1,
  ptr: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  fwd: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  func: 12,
  funcProto: 13,
  var: 14,
  datasec: 15,
  float: 16,
  declTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;
export type BtfKind = (typeof BtfKind)[keyof typeof BtfKind];

/** One BTF type. What a field means depends on the kind; unused ones are 0 or empty. */
export interface BtfType {
  readonly id: number;
  readonly kind: BtfKind;
  readonly name: string;
  /** The `size`/`type` word: bytes for int, struct, union, enum, datasec, float; a type id for the referring kinds. */
  readonly word: number;
  readonly vlen: number;
  readonly kindFlag: boolean;
  /** int: bit 0 signed, 1 char, 2 bool. var: linkage. declTag: component index. */
  readonly extra: number;
  readonly array: { readonly element: number; readonly index: number; readonly length: number } | undefined;
  readonly members: readonly BtfMember[];
  readonly values: readonly BtfEnumValue[];
  readonly variables: readonly BtfVariable[];
  /** Where the record starts in the type section, for fix-ups before loading. */
  readonly offset: number;
}

export interface BtfMember {
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  /** 0: not a bit field. */
  readonly bitSize: number;
}

export interface BtfEnumValue {
  readonly name: string;
  readonly value: bigint;
}

/** One variable of a data section. */
export interface BtfVariable {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
}

export interface Btf {
  readonly types: readonly BtfType[];
  readonly raw: Uint8Array;
  /** Offset of the type section inside `raw`. */
  readonly typesAt: number;
  readonly strings: Uint8Array;
}

const MAGIC = 0xeb9f;
const KIND_MAX = BtfKind.enum64;
/** Deeper than any sane chain of typedefs and qualifiers; ends cycles in damaged input. */
const MAX_CHAIN = 64;

/** @throws WeftError E_BPF_OBJECT */
export function parseBtf(raw: Uint8Array): Btf {
  const view = viewOf(raw);
  if (raw.length < 24 || view.getUint16(0, true) !== MAGIC) throw bad("no BTF header");
  const header = view.getUint32(4, true);
  const typesAt = header + view.getUint32(8, true);
  const typesEnd = typesAt + view.getUint32(12, true);
  const stringsAt = header + view.getUint32(16, true);
  const stringsEnd = stringsAt + view.getUint32(20, true);
  if (typesEnd > raw.length || stringsEnd > raw.length) throw bad("BTF is cut off");
  const strings = raw.subarray(stringsAt, stringsEnd);
  const types: BtfType[] = [VOID];
  let at = typesAt;
  while (at < typesEnd) {
    if (at + 12 > typesEnd) throw bad("BTF ends inside a type");
    const type = readType(view, at, { id: types.length, strings, typesAt });
    at += recordSize(type);
    if (at > typesEnd) throw bad(`BTF ends inside type ${type.id}`);
    types.push(type);
  }
  return { types, raw, typesAt, strings };
}

const VOID: BtfType = {
  id: 0,
  kind: BtfKind.void,
  name: "void",
  word: 0,
  vlen: 0,
  kindFlag: false,
  extra: 0,
  array: undefined,
  members: [],
  values: [],
  variables: [],
  offset: 0,
};

function readType(
  view: DataView,
  at: number,
  from: { id: number; strings: Uint8Array; typesAt: number },
): BtfType {
  const info = view.getUint32(at + 4, true);
  const kind = ((info >>> 24) & 31) as BtfKind;
  const vlen = info & 0xffff;
  if (kind === BtfKind.void || kind > KIND_MAX) throw bad(`BTF type ${from.id} has the unknown kind ${kind}`);
  const base = {
    id: from.id,
    kind,
    name: stringAt(from.strings, view.getUint32(at, true)),
    word: view.getUint32(at + 8, true),
    vlen,
    kindFlag: info >>> 31 === 1,
    offset: at - from.typesAt,
  };
  if (at + recordSize(base) > view.byteLength) throw bad(`BTF ends inside type ${from.id}`);
  const tail = at + 12;
  const isEnum = kind === BtfKind.enum || kind === BtfKind.enum64;
  const isStruct = kind === BtfKind.struct || kind === BtfKind.union;
  return {
    ...base,
    extra: hasExtra(kind) ? view.getUint32(tail, true) : 0,
    array:
      kind !== BtfKind.array
        ? undefined
        : {
            element: view.getUint32(tail, true),
            index: view.getUint32(tail + 4, true),
            length: view.getUint32(tail + 8, true),
          },
    members: isStruct ? readMembers(view, tail, { ...base, strings: from.strings }) : [],
    values: isEnum ? readValues(view, tail, { ...base, strings: from.strings }) : [],
    variables:
      kind !== BtfKind.datasec
        ? []
        : times(vlen, (i) => ({
            type: view.getUint32(tail + i * 12, true),
            offset: view.getUint32(tail + i * 12 + 4, true),
            size: view.getUint32(tail + i * 12 + 8, true),
          })),
  };
}

type Head = { readonly kind: BtfKind; readonly vlen: number; readonly kindFlag: boolean };

function readMembers(view: DataView, tail: number, head: Head & { strings: Uint8Array }): BtfMember[] {
  return times(head.vlen, (i) => {
    const at = tail + i * 12;
    const offset = view.getUint32(at + 8, true);
    return {
      name: stringAt(head.strings, view.getUint32(at, true)),
      type: view.getUint32(at + 4, true),
      bitOffset: head.kindFlag ? offset & 0xffffff : offset,
      bitSize: head.kindFlag ? offset >>> 24 : 0,
    };
  });
}

function readValues(view: DataView, tail: number, head: Head & { strings: Uint8Array }): BtfEnumValue[] {
  const wide = head.kind === BtfKind.enum64;
  return times(head.vlen, (i) => {
    const at = tail + i * (wide ? 12 : 8);
    const low = view.getUint32(at + 4, true);
    const high = wide ? view.getUint32(at + 8, true) : 0;
    const unsigned = (BigInt(high) << 32n) | BigInt(low);
    // The kind flag of an enum says that its values are signed.
    const value = head.kindFlag ? BigInt.asIntN(wide ? 64 : 32, unsigned) : unsigned;
    return { name: stringAt(head.strings, view.getUint32(at, true)), value };
  });
}

function recordSize({ kind, vlen }: Head): number {
  switch (kind) {
    case BtfKind.array:
      return 24;
    case BtfKind.struct:
    case BtfKind.union:
    case BtfKind.datasec:
    case BtfKind.enum64:
      return 12 + vlen * 12;
    case BtfKind.enum:
    case BtfKind.funcProto:
      return 12 + vlen * 8;
    default:
      return hasExtra(kind) ? 16 : 12;
  }
}

function hasExtra(kind: BtfKind): boolean {
  return kind === BtfKind.int || kind === BtfKind.var || kind === BtfKind.declTag;
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

/** @throws WeftError E_BPF_OBJECT when there is no type of that id */
export function btfType(btf: Btf, id: number): BtfType {
  const type = btf.types[id];
  if (type === undefined) throw bad(`BTF has no type ${id}`);
  return type;
}

const TRANSPARENT: ReadonlySet<number> = new Set([
  BtfKind.typedef,
  BtfKind.volatile,
  BtfKind.const,
  BtfKind.restrict,
  BtfKind.typeTag,
]);

/** The type behind typedefs and qualifiers. */
export function btfResolve(btf: Btf, id: number): BtfType {
  let type = btfType(btf, id);
  for (let depth = 0; TRANSPARENT.has(type.kind); depth++) {
    if (depth > MAX_CHAIN) throw bad(`BTF type ${id} refers to itself`);
    type = btfType(btf, type.word);
  }
  return type;
}

/** Size in bytes. @throws WeftError E_BPF_OBJECT for a type without one */
export function btfSize(btf: Btf, id: number, depth = 0): number {
  if (depth > MAX_CHAIN) throw bad(`BTF type ${id} contains itself`);
  const type = btfResolve(btf, id);
  switch (type.kind) {
    case BtfKind.int:
    case BtfKind.struct:
    case BtfKind.union:
    case BtfKind.enum:
    case BtfKind.enum64:
    case BtfKind.float:
      return type.word;
    case BtfKind.ptr:
      return 8;
    case BtfKind.array:
      return type.array!.length * btfSize(btf, type.array!.element, depth + 1);
    default:
      throw bad(`BTF type ${id} has no size`);
  }
}

/** The first type of that kind and name. */
export function btfFind(btf: Btf, kind: BtfKind, name: string): BtfType | undefined {
  return btf.types.find((type) => type.kind === kind && type.name === name);
}
