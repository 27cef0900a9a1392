// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";

/** A compiled BPF object: 64-bit little-endian relocatable ELF of machine EM_BPF (System V gABI, psABI of LLVM's BPF). */
export interface ElfFile {
  /** In file order, `sections[0]` is the null section: indexes are those of the file. */
  readonly sections: readonly ElfSection[];
  readonly symbols: readonly ElfSymbol[];
  /** Relocations by the index of the section they apply to. */
  readonly relocations: ReadonlyMap<number, readonly ElfRelocation[]>;
}

export interface ElfSection {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  /** Empty for SHT_NOBITS (`.bss`), whatever its size. */
  readonly data: Uint8Array;
}

export interface ElfSymbol {
  readonly name: string;
  readonly section: number;
  readonly value: number;
  readonly size: number;
  readonly type: number;
  readonly binding: number;
}

export interface ElfRelocation {
  /** Bytes from the start of the section. */
  readonly offset: number;
  readonly type: number;
  readonly symbol: ElfSymbol;
}

const ElfSectionType = { progbits: 1, symtab: 2, nobits: 8, rel: 9 } as const;
export const ElfSymbolType = { none: 0, object: 1, func: 2, section: 3 } as const;
export const ElfBinding = { local: 0, global: 1, weak: 2 } as const;
/** SHF_EXECINSTR */
export const ELF_EXECUTABLE = 4;

const EM_BPF = 247;
const ET_REL = 1;
const HEADER_SIZE = 64;
const SECTION_HEADER_SIZE = 64;
const SYMBOL_SIZE = 24;
const REL_SIZE = 16;

/** @throws WeftError E_BPF_OBJECT for whatever is not a whole BPF object */
export function parseElf(file: Uint8Array): ElfFile {
  // A Buffer's slice() does not copy, a Uint8Array's does.
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
  const view = viewOf(bytes);
  checkHeader(bytes, view);
  const sections = readSections(bytes, view);
  const symtab = sections.find((section) => section.type === ElfSectionType.symtab);
  const symbols = symtab === undefined ? [] : readSymbols(symtab, sections);
  const relocations = new Map<number, ElfRelocation[]>();
  for (const section of sections) {
    if (section.type !== ElfSectionType.rel) continue;
    if (sections[section.info] === undefined)
      throw bad(`${section.name} relocates a section that does not exist`);
    const list = relocations.get(section.info) ?? [];
    list.push(...readRelocations(section, symbols));
    relocations.set(section.info, list);
  }
  return { sections, symbols, relocations };
}

export function bad(why: string, cause?: unknown): WeftError {
  return new WeftError("E_BPF_OBJECT", `not a usable BPF object: ${why}`, {
    hint: "Build it again from its source (npm run build).",
    cause,
  });
}

function checkHeader(bytes: Uint8Array, view: DataView): void {
  if (bytes.length < HEADER_SIZE || view.getUint32(0) !== 0x7f454c46) throw bad("no ELF header");
  if (bytes[4] !== 2 || bytes[5] !== 1) throw bad("not 64-bit little-endian");
  if (view.getUint16(16, true) !== ET_REL || view.getUint16(18, true) !== EM_BPF) {
    throw bad("not a relocatable file for BPF");
  }
}

function readSections(bytes: Uint8Array, view: DataView): ElfSection[] {
  const start = offset64(view, 40);
  const entrySize = view.getUint16(58, true);
  const count = view.getUint16(60, true);
  const namesAt = view.getUint16(62, true);
  if (entrySize !== SECTION_HEADER_SIZE || start + count * entrySize > bytes.length)
    throw bad("section table is cut off");
  const raw: ElfSection[] = [];
  const nameOffsets: number[] = [];
  for (let index = 0; index < count; index++) {
    const at = start + index * entrySize;
    const type = view.getUint32(at + 4, true);
    const offset = offset64(view, at + 24);
    const size = offset64(view, at + 32);
    const empty = type === ElfSectionType.nobits || type === 0;
    if (!empty && offset + size > bytes.length) throw bad(`section ${index} is cut off`);
    if (size > 0x400_0000) throw bad(`section ${index} has ${size} bytes`);
    nameOffsets.push(view.getUint32(at, true));
    raw.push({
      index,
      name: "",
      type,
      flags: offset64(view, at + 8),
      size,
      link: view.getUint32(at + 40, true),
      info: view.getUint32(at + 44, true),
      data: empty ? new Uint8Array() : bytes.subarray(offset, offset + size),
    });
  }
  const names = raw[namesAt]?.data ?? new Uint8Array();
  return raw.map((section, index) => ({ ...section, name: stringAt(names, nameOffsets[index]!) }));
}

function readSymbols(symtab: ElfSection, sections: readonly ElfSection[]): ElfSymbol[] {
  const names = sections[symtab.link]?.data ?? new Uint8Array();
  const view = viewOf(symtab.data);
  const symbols: ElfSymbol[] = [];
  for (let at = 0; at + SYMBOL_SIZE <= view.byteLength; at += SYMBOL_SIZE) {
    const info = view.getUint8(at + 4);
    const symbol: ElfSymbol = {
      name: stringAt(names, view.getUint32(at, true)),
      section: view.getUint16(at + 6, true),
      value: offset64(view, at + 8),
      size: offset64(view, at + 16),
      type: info & 15,
      binding: info >> 4,
    };
    const section = sections[symbol.section];
    if (section !== undefined && symbol.section !== 0 && symbol.value + symbol.size > section.size) {
      throw bad(`symbol "${symbol.name}" lies outside of section ${section.name}`);
    }
    symbols.push(symbol);
  }
  return symbols;
}

function readRelocations(section: ElfSection, symbols: readonly ElfSymbol[]): ElfRelocation[] {
  const view = viewOf(section.data);
  const list: ElfRelocation[] = [];
  for (let at = 0; at + REL_SIZE <= view.byteLength; at += REL_SIZE) {
    const symbol = symbols[view.getUint32(at + 12, true)];
    if (symbol === undefined) throw bad(`${section.name} names a symbol that does not exist`);
    list.push({ offset: offset64(view, at), type: view.getUint32(at + 8, true), symbol });
  }
  return list;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const latin1 = new TextDecoder("latin1");

/** The C string at an offset; "" when the table has none there. */
export function stringAt(table: Uint8Array, offset: number): string {
  if (offset >= table.length) return "";
  const end = table.indexOf(0, offset);
  return latin1.decode(table.subarray(offset, end < 0 ? table.length : end));
}

function offset64(view: DataView, at: number): number {
  const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  if (value > Number.MAX_SAFE_INTEGER) throw bad("an offset is out of range");
  return value;
}
