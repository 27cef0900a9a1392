// SPDX-License-Identifier: Apache-2.0
import { assemble, type BpfFunction, codeSource, type MapReference } from "#kernel/bpf/assemble.ts";
import { type Btf, parseBtf } from "#kernel/bpf/btf.ts";
import { type BtfExt, type PickedRecords, parseBtfExt, pickRecords } from "#kernel/bpf/btf-ext.ts";
import {
  dataSections,
  fixDataSections,
  readVariables,
  type VariableSpec,
} from "#kernel/bpf/data-sections.ts";
import { bad, ElfBinding, type ElfFile, parseElf, viewOf } from "#kernel/bpf/elf.ts";
import { type ProgramKind, programKind } from "#kernel/bpf/kinds.ts";
import { type MapSpec, readMapSpecs } from "#kernel/bpf/map-spec.ts";

/**
 * A BPF object, read but not loaded. Depends on the bytes alone: the same object gives the same spec on every
 * machine. Maps include one per data section, under the section's name (`.rodata`).
 */
export interface ObjectSpec {
  readonly maps: ReadonlyMap<string, MapSpec>;
  readonly programs: ReadonlyMap<string, ProgramSpec>;
  readonly variables: ReadonlyMap<string, VariableSpec>;
  readonly license: string;
  readonly btf: Btf;
  /** The BTF with sizes and offsets of the data sections filled in, as the kernel wants it. */
  readonly loadableBtf: Uint8Array;
}

/** A program with every function it needs; instructions lack only the map fds. */
export interface ProgramSpec {
  readonly name: string;
  readonly section: string;
  readonly kind: ProgramKind;
  readonly instructions: Uint8Array;
  readonly references: readonly MapReference[];
  readonly functionInfo: PickedRecords;
  readonly lineInfo: PickedRecords;
  readonly coreRelocations: PickedRecords;
}

/** Reads a compiled object. @throws WeftError E_BPF_OBJECT saying what is wrong with it */
export function parseObject(bytes: Uint8Array): ObjectSpec {
  const elf = parseElf(bytes);
  const btfSection = elf.sections.find(({ name }) => name === ".BTF");
  if (btfSection === undefined) throw bad("no BTF (compile with -g)");
  const btf = parseBtf(btfSection.data);
  const maps = new Map<string, MapSpec>();
  for (const spec of [...readMapSpecs(elf, btf), ...dataSections(elf, btf)]) maps.set(spec.name, spec);
  const programs = readPrograms(elf, btf);
  for (const program of programs.values()) {
    for (const { map } of program.references) {
      if (!maps.has(map)) throw bad(`program ${program.name} uses the map "${map}", which is not defined`);
    }
  }
  return {
    maps,
    programs,
    variables: readVariables(elf, btf),
    license: readLicense(elf),
    btf,
    loadableBtf: fixDataSections(elf, btf),
  };
}

function readPrograms(elf: ElfFile, btf: Btf): Map<string, ProgramSpec> {
  const extSection = elf.sections.find(({ name }) => name === ".BTF.ext");
  const ext = extSection === undefined ? undefined : parseBtfExt(extSection.data, btf);
  const source = codeSource(elf);
  const programs = new Map<string, ProgramSpec>();
  for (const [index, functions] of source.functions) {
    const section = elf.sections[index]!;
    const kind = programKind(section.name);
    if (kind === undefined) {
      if (section.name !== ".text")
        throw bad(`section "${section.name}" is not a kind of program this loader knows`);
      continue;
    }
    for (const fn of functions) {
      if (!isGlobal(elf, fn)) continue;
      const { functions: placed, ...code } = assemble(source, fn);
      const placements = placed.map(({ function: { section: at, start, end }, at: place }) => ({
        section: elf.sections[at]!.name,
        start,
        end,
        at: place,
      }));
      programs.set(fn.name, {
        name: fn.name,
        section: section.name,
        kind,
        ...code,
        ...records(ext, placements),
      });
    }
  }
  return programs;
}

const NO_RECORDS: PickedRecords = { recordSize: 0, count: 0, bytes: new Uint8Array() };

function records(ext: BtfExt | undefined, placements: Parameters<typeof pickRecords>[1]) {
  if (ext === undefined)
    return { functionInfo: NO_RECORDS, lineInfo: NO_RECORDS, coreRelocations: NO_RECORDS };
  const functionInfo = pickRecords(ext.functions, placements);
  // The kernel wants a record for every function or none at all.
  if (functionInfo.count !== placements.length) {
    return { functionInfo: NO_RECORDS, lineInfo: NO_RECORDS, coreRelocations: NO_RECORDS };
  }
  return {
    functionInfo,
    lineInfo: pickRecords(ext.lines, placements),
    coreRelocations: coreRelocations(ext, placements),
  };
}

/** The kernel counts their offsets in bytes, unlike those of the other two. */
function coreRelocations(ext: BtfExt, placements: Parameters<typeof pickRecords>[1]): PickedRecords {
  const picked = pickRecords(ext.coreRelocations, placements);
  const view = viewOf(picked.bytes);
  for (let i = 0; i < picked.count; i++) {
    view.setUint32(i * picked.recordSize, view.getUint32(i * picked.recordSize, true) * 8, true);
  }
  return picked;
}

function isGlobal(elf: ElfFile, fn: BpfFunction): boolean {
  return elf.symbols.some(
    ({ section, value, name, binding }) =>
      section === fn.section && value === fn.start && name === fn.name && binding !== ElfBinding.local,
  );
}

function readLicense(elf: ElfFile): string {
  const section = elf.sections.find(({ name }) => name === "license");
  return section === undefined ? "" : new TextDecoder("latin1").decode(section.data).replace(/\0.*$/s, "");
}
