// SPDX-License-Identifier: Apache-2.0
import type { Btf } from "#kernel/bpf/btf.ts";
import { bad, stringAt, viewOf } from "#kernel/bpf/elf.ts";

/** Records of one kind (`func_info`, `line_info`, `core_relo`) by the section whose instructions they describe, in runs: there are tens of thousands. */
export interface ExtInfo {
  readonly recordSize: number;
  readonly bySection: ReadonlyMap<string, readonly DataView[]>;
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
  const bySection = new Map<string, DataView[]>();
  let at = 4;
  while (at + 8 <= bytes.length) {
    const section = stringAt(btf.strings, view.getUint32(at, true));
    const count = view.getUint32(at + 4, true);
    at += 8;
    const end = at + count * recordSize;
    if (end > bytes.length) throw bad(`BTF.ext for section ${section} is cut off`);
    bySection.set(section, [...(bySection.get(section) ?? []), viewOf(bytes.subarray(at, end))]);
    at = end;
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
export function pickRecords(
  { recordSize, bySection }: ExtInfo,
  placements: readonly Placement[],
): PickedRecords {
  const parts = placements.flatMap(({ section, start, end, at }) =>
    (bySection.get(section) ?? []).map((run) => {
      const first = firstFrom(run, recordSize, start);
      return { run, first, count: firstFrom(run, recordSize, end) - first, shift: at - start / 8 };
    }),
  );
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const bytes = new Uint8Array(count * recordSize);
  const view = viewOf(bytes);
  let to = 0;
  for (const { run, first, count: size, shift } of parts) {
    bytes.set(new Uint8Array(run.buffer, run.byteOffset + first * recordSize, size * recordSize), to);
    for (const end = to + size * recordSize; to < end; to += recordSize)
      view.setUint32(to, view.getUint32(to, true) / 8 + shift, true);
  }
  return { recordSize, count, bytes };
}

/** The number of the first record at or behind an offset: compilers write them in the order of instructions, as the kernel demands. */
function firstFrom(run: DataView, recordSize: number, offset: number): number {
  let [from, to] = [0, run.byteLength / recordSize];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (run.getUint32(middle * recordSize, true) < offset) from = middle + 1;
    else to = middle;
  }
  return from;
}
