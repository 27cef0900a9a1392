// SPDX-License-Identifier: Apache-2.0
import type { Btf } from "#kernel/bpf/btf.ts";
import { bad, stringAt, viewOf } from "#kernel/bpf/elf.ts";

/** Records of one kind (`func_info`, `line_info`, `core_relo`) by the section whose instructions they describe. */
export interface ExtInfo {
  readonly recordSize: number;
  readonly bySection: ReadonlyMap<string, readonly Uint8Array[]>;
}

/** The `.BTF.ext` section: what ties instructions to functions, source lines and relocated fields. */
export interface BtfExt {
  readonly functions: ExtInfo;
  readonly lines: ExtInfo;
  readonly coreRelocations: ExtInfo;
}

const NONE: ExtInfo = { recordSize: 0, bySection: new Map() };

/** @throws WeftError E_BPF_OBJECT */
export function parseBtfExt(raw: Uint8Array, btf: Btf): BtfExt {
  const view = viewOf(raw);
  if (raw.length < 24 || view.getUint16(0, true) !== 0xeb9f) throw bad("no BTF.ext header");
  const header = view.getUint32(4, true);
  const part = (at: number): ExtInfo => {
    if (at + 8 > header || at + 8 > raw.length) return NONE;
    const start = header + view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (start + length > raw.length) throw bad("BTF.ext is cut off");
    return length === 0 ? NONE : readInfo(raw.subarray(start, start + length), btf);
  };
  return { functions: part(8), lines: part(16), coreRelocations: part(24) };
}

function readInfo(bytes: Uint8Array, btf: Btf): ExtInfo {
  const view = viewOf(bytes);
  const recordSize = bytes.length >= 4 ? view.getUint32(0, true) : 0;
  if (recordSize < 8 || recordSize > 256) throw bad(`BTF.ext has records of ${recordSize} bytes`);
  const bySection = new Map<string, Uint8Array[]>();
  let at = 4;
  while (at + 8 <= bytes.length) {
    const section = stringAt(btf.strings, view.getUint32(at, true));
    const count = view.getUint32(at + 4, true);
    at += 8;
    if (at + count * recordSize > bytes.length) throw bad(`BTF.ext for section ${section} is cut off`);
    const records = bySection.get(section) ?? [];
    for (let i = 0; i < count; i++, at += recordSize) records.push(bytes.subarray(at, at + recordSize));
    bySection.set(section, records);
  }
  return { recordSize, bySection };
}

export interface PickedRecords {
  readonly recordSize: number;
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** One function's place: bytes in its section, and the instruction it starts at in the linked program. */
export interface Placement {
  readonly section: string;
  readonly start: number;
  readonly end: number;
  readonly at: number;
}

/** The records of the placed functions, their byte offsets turned into instruction numbers of the linked program. */
export function pickRecords(info: ExtInfo, placements: readonly Placement[]): PickedRecords {
  const picked: Uint8Array[] = [];
  for (const { section, start, end, at } of placements) {
    for (const record of info.bySection.get(section) ?? []) {
      const offset = viewOf(record).getUint32(0, true);
      if (offset < start || offset >= end) continue;
      const copy = Uint8Array.from(record);
      viewOf(copy).setUint32(0, at + (offset - start) / 8, true);
      picked.push(copy);
    }
  }
  const bytes = new Uint8Array(picked.length * info.recordSize);
  picked.forEach((record, i) => {
    bytes.set(record, i * info.recordSize);
  });
  return { recordSize: info.recordSize, count: picked.length, bytes };
}
