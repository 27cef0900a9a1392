// SPDX-License-Identifier: Apache-2.0
import { type Btf, BtfKind, type BtfType, btfResolve, btfSize, btfType } from "#kernel/bpf/btf.ts";
import { bad } from "#kernel/bpf/elf.ts";

const MAX_DEPTH = 32;
const MAX_FIELDS = 4096;

/** A field of a type, nested ones by their path: `low.words[4] at 0: __be32`. Equal lists mean equal memory. */
export function btfShape(btf: Btf, id: number): string[] {
  const fields: string[] = [];
  flatten({ btf, fields }, id, { path: "", offset: 0, depth: 0 });
  return fields;
}

interface Walk {
  readonly btf: Btf;
  readonly fields: string[];
}

interface Place {
  readonly path: string;
  readonly offset: number;
  readonly depth: number;
}

function flatten(walk: Walk, id: number, place: Place): void {
  const { btf, fields } = walk;
  if (place.depth > MAX_DEPTH || fields.length > MAX_FIELDS) throw bad(`BTF type ${id} is too large`);
  const type = btfResolve(btf, id);
  const depth = place.depth + 1;
  if (type.kind === BtfKind.struct || type.kind === BtfKind.union) {
    for (const { name, type: member, bitOffset, bitSize } of type.members) {
      const path = [place.path, name].filter(Boolean).join(".");
      const offset = place.offset + bitOffset / 8;
      if (bitSize > 0) fields.push(`${path} at ${offset}: ${bitSize} bits`);
      else flatten(walk, member, { path, offset, depth });
    }
  } else if (type.kind === BtfKind.array) {
    flatten(walk, type.array!.element, { ...place, path: `${place.path}[${type.array!.length}]`, depth });
  } else {
    fields.push(`${place.path} at ${place.offset}: ${scalar(btf, id, type)}`);
  }
}

/** Size and sign, and the byte order, which only the name of a typedef tells. */
function scalar(btf: Btf, id: number, type: BtfType): string {
  for (let at = btfType(btf, id), depth = 0; at.kind === BtfKind.typedef && depth < MAX_DEPTH; depth++) {
    if (/^__[bl]e\d+$/.test(at.name)) return at.name;
    at = btfType(btf, at.word);
  }
  const signed = type.kind === BtfKind.int && (type.extra & 0x1000000) !== 0;
  return `${signed ? "signed" : "unsigned"} ${btfSize(btf, type.id)} bytes`;
}
