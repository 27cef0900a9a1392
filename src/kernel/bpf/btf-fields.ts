// SPDX-License-Identifier: Apache-2.0
import { type Btf, BtfKind, type BtfType, btfResolve, btfSize, btfType } from "#kernel/bpf/btf.ts";
import { bad } from "#kernel/bpf/elf.ts";

/** A scalar inside a type, nested ones by their path (`low.words[4]`). */
export interface BtfField {
  readonly path: string;
  /** Bytes; of the first one when it is repeated. */
  readonly offset: number;
  readonly size: number;
  /** 0: not a bit field. */
  readonly bits: number;
  /** Size and sign, or the byte order, which only the name of a typedef tells: `unsigned 4 bytes`, `__be16`. */
  readonly scalar: string;
  /** Arrays around it, outermost first. */
  readonly repeats: readonly { readonly count: number; readonly stride: number }[];
}

const MAX_DEPTH = 32;
const MAX_FIELDS = 4096;

/** Every scalar of a type, in order. @throws WeftError E_BPF_OBJECT for a type that has no end */
export function btfFields(btf: Btf, id: number): BtfField[] {
  const fields: BtfField[] = [];
  flatten({ btf, fields }, id, { path: "", offset: 0, depth: 0, repeats: [] });
  return fields;
}

interface Walk {
  readonly btf: Btf;
  readonly fields: BtfField[];
}

interface Place extends Pick<BtfField, "path" | "offset" | "repeats"> {
  readonly depth: number;
}

function flatten(walk: Walk, id: number, place: Place): void {
  const { btf, fields } = walk;
  if (place.depth > MAX_DEPTH || fields.length > MAX_FIELDS) throw bad(`BTF type ${id} is too large`);
  const type = btfResolve(btf, id);
  const depth = place.depth + 1;
  const { path, offset, repeats } = place;
  if (type.kind === BtfKind.struct || type.kind === BtfKind.union) {
    for (const { name, type: member, bitOffset, bitSize } of type.members) {
      const inner = { path: [path, name].filter(Boolean).join("."), offset: offset + bitOffset / 8, repeats };
      if (bitSize > 0) fields.push({ ...inner, size: 0, bits: bitSize, scalar: `${bitSize} bits` });
      else flatten(walk, member, { ...inner, depth });
    }
  } else if (type.kind === BtfKind.array) {
    const { element, length } = type.array!;
    const around = [...repeats, { count: length, stride: btfSize(btf, element) }];
    flatten(walk, element, { path: `${path}[${length}]`, offset, repeats: around, depth });
  } else {
    const size = btfSize(btf, type.id);
    fields.push({ path, offset, size, bits: 0, scalar: scalar(btf, id, { type, size }), repeats });
  }
}

function scalar(btf: Btf, id: number, { type, size }: { type: BtfType; size: number }): string {
  for (let at = btfType(btf, id), depth = 0; at.kind === BtfKind.typedef && depth < MAX_DEPTH; depth++) {
    if (/^__[bl]e\d+$/.test(at.name)) return at.name;
    at = btfType(btf, at.word);
  }
  const signed = type.kind === BtfKind.int && (type.extra & 0x1000000) !== 0;
  return `${signed ? "signed" : "unsigned"} ${size} bytes`;
}

/** Of every repetition of a field. */
export function fieldOffsets({ offset, repeats }: BtfField): number[] {
  let found = [offset];
  for (const { count, stride } of repeats)
    found = found.flatMap((at) => Array.from({ length: count }, (_, i) => at + i * stride));
  return found;
}

const LAYOUT_TAG = "weft:layout:";
/** Of a declaration tag: it belongs to the type, not to one of its members. */
const WHOLE = 0xffff_ffff;

/** The version a struct's declaration carries (`LAYOUT(n)` of bpf/lib/layout.h); 0: none. */
export function btfLayoutVersion(btf: Btf, id: number): number {
  const { id: struct } = btfResolve(btf, id);
  const tag = btf.types.find(
    ({ kind, word, extra, name }) =>
      kind === BtfKind.declTag && word === struct && extra === WHOLE && name.startsWith(LAYOUT_TAG),
  );
  return tag === undefined ? 0 : Number(tag.name.slice(LAYOUT_TAG.length));
}
