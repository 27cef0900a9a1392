// SPDX-License-Identifier: Apache-2.0
import {
  assemble,
  type BpfFunction,
  codeSource,
  isDataSection,
  type MapReference,
} from "#kernel/bpf/assemble.ts";
import { type Btf, BtfKind, btfType, parseBtf } from "#kernel/bpf/btf.ts";
import { type BtfExt, type PickedRecords, parseBtfExt, pickRecords } from "#kernel/bpf/btf-ext.ts";
import { bad, ELF_EXECUTABLE, ElfBinding, type ElfFile, parseElf, viewOf } from "#kernel/bpf/elf.ts";
import { MapFlag, MapType, type ProgramKind, programKind } from "#kernel/bpf/kinds.ts";
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

/** A global variable: `size` bytes at `offset` of the map `section`. */
export interface VariableSpec {
  readonly name: string;
  readonly section: string;
  readonly offset: number;
  readonly size: number;
  readonly type: number;
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

function dataSections(elf: ElfFile, btf: Btf): MapSpec[] {
  return elf.sections
    .filter(({ name, size }) => isDataSection(name) && size > 0)
    .map((section) => {
      const readOnly = section.name.startsWith(".rodata");
      const contents = new Uint8Array(section.size);
      contents.set(section.data.subarray(0, section.size));
      const datasec = btf.types.find(({ kind, name }) => kind === BtfKind.datasec && name === section.name);
      return {
        name: section.name,
        type: MapType.array,
        keySize: 4,
        valueSize: section.size,
        maxEntries: 1,
        flags: MapFlag.mmapable | (readOnly ? MapFlag.rdonlyProg : 0),
        mapExtra: 0,
        pinByName: false,
        keyType: 0,
        valueType: datasec?.id ?? 0,
        inner: undefined,
        references: [],
        contents,
      };
    });
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

function readVariables(elf: ElfFile, btf: Btf): Map<string, VariableSpec> {
  const variables = new Map<string, VariableSpec>();
  for (const datasec of btf.types) {
    if (datasec.kind !== BtfKind.datasec || !isDataSection(datasec.name)) continue;
    for (const { type, size } of datasec.variables) {
      const variable = btfType(btf, type);
      const offset = symbolOffset(elf, datasec.name, variable.name);
      if (offset === undefined) throw bad(`variable "${variable.name}" has no symbol`);
      variables.set(variable.name, {
        name: variable.name,
        section: datasec.name,
        offset,
        size,
        type: variable.word,
      });
    }
  }
  return variables;
}

function symbolOffset(elf: ElfFile, section: string, name: string): number | undefined {
  return elf.symbols.find((symbol) => symbol.name === name && elf.sections[symbol.section]?.name === section)
    ?.value;
}

function readLicense(elf: ElfFile): string {
  const section = elf.sections.find(({ name }) => name === "license");
  return section === undefined ? "" : new TextDecoder("latin1").decode(section.data).replace(/\0.*$/s, "");
}

/** clang leaves sizes and offsets of data sections to the linker (relocations against `.BTF`), and a loader is that linker. */
function fixDataSections(elf: ElfFile, btf: Btf): Uint8Array {
  const fixed = btf.raw.slice();
  const view = viewOf(fixed);
  for (const datasec of btf.types) {
    if (datasec.kind !== BtfKind.datasec) continue;
    const at = btf.typesAt + datasec.offset;
    const section = elf.sections.find(
      ({ name, flags }) => name === datasec.name && (flags & ELF_EXECUTABLE) === 0,
    );
    if (section === undefined)
      throw bad(`BTF describes the section ${datasec.name}, which is not in the object`);
    view.setUint32(at + 8, section.size, true);
    const placed = datasec.variables.map(({ type, size }) => {
      const { name } = btfType(btf, type);
      const offset = symbolOffset(elf, datasec.name, name);
      if (offset === undefined) throw bad(`variable "${name}" has no symbol`);
      return { type, offset, size };
    });
    placed
      .sort((a, b) => a.offset - b.offset)
      .forEach(({ type, offset, size }, i) => {
        view.setUint32(at + 12 + i * 12, type, true);
        view.setUint32(at + 16 + i * 12, offset, true);
        view.setUint32(at + 20 + i * 12, size, true);
      });
  }
  return fixed;
}
