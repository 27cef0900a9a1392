// SPDX-License-Identifier: Apache-2.0
import { isDataSection } from "#kernel/bpf/assemble.ts";
import { type Btf, BtfKind, btfType } from "#kernel/bpf/btf.ts";
import { bad, ELF_EXECUTABLE, type ElfFile, viewOf } from "#kernel/bpf/elf.ts";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import type { MapSpec } from "#kernel/bpf/map-spec.ts";

/** A global variable: `size` bytes at `offset` of the map `section`. */
export interface VariableSpec {
  readonly name: string;
  readonly section: string;
  readonly offset: number;
  readonly size: number;
  readonly type: number;
}

/** One array map of one element for each section of variables. */
export function dataSections(elf: ElfFile, btf: Btf): MapSpec[] {
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

/** Global variables by name. */
export function readVariables(elf: ElfFile, btf: Btf): Map<string, VariableSpec> {
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

/** clang leaves sizes and offsets of data sections to the linker (relocations against `.BTF`), and a loader is that linker. */
export function fixDataSections(elf: ElfFile, btf: Btf): Uint8Array {
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
