// SPDX-License-Identifier: Apache-2.0
import type { Btf } from "#kernel/bpf/btf.ts";
import { type BtfField, btfFields, btfLayoutVersion, fieldOffsets } from "#kernel/bpf/btf-fields.ts";

/** Writes what `from` says, in its layout, into `to`, which is zero. */
export type Convert = (from: Uint8Array, to: Uint8Array) => void;

/** A type and the types it is made of. */
export interface TypeOf {
  readonly btf: Btf;
  readonly id: number;
}

interface Copy {
  readonly from: number;
  readonly to: number;
  readonly size: number;
}

/**
 * How one layout of a struct becomes another: fields of the same name keep their value, wherever they stand now; new ones are
 * zero; integers may grow. Text: why that would not be right (another version, a field that means something else). `keep`: no
 * field may be gone, as in keys, where two could become one.
 */
export function conversion(from: TypeOf, to: TypeOf, { keep }: { readonly keep: boolean }): Convert | string {
  const [was, is] = [btfLayoutVersion(from.btf, from.id), btfLayoutVersion(to.btf, to.id)];
  if (was !== is) return `layout version ${was} instead of ${is}`;
  const old = new Map(btfFields(from.btf, from.id).map((field) => [field.path, field]));
  const copies: Copy[] = [];
  for (const field of btfFields(to.btf, to.id)) {
    const source = old.get(field.path);
    old.delete(field.path);
    if (source === undefined) continue;
    if (!fits(source, field)) return `${field.path} was ${source.scalar}, is ${field.scalar}`;
    const [reads, writes] = [fieldOffsets(source), fieldOffsets(field)];
    reads.forEach((offset, i) => {
      copies.push({ from: offset, to: writes[i]!, size: source.size });
    });
  }
  const gone = [...old.keys()][0];
  if (keep && gone !== undefined) return `${gone} is gone`;
  return (source, target) => {
    for (const { from: at, to: place, size } of copies) target.set(source.subarray(at, at + size), place);
  };
}

/** Little endian: a wider unsigned integer is the same bytes and zeros. */
function fits(from: BtfField, to: BtfField): boolean {
  if (from.bits > 0 || to.bits > 0) return false;
  if (from.scalar === to.scalar) return true;
  return from.scalar.startsWith("unsigned") && to.scalar.startsWith("unsigned") && to.size > from.size;
}
