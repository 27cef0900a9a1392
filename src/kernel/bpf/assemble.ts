// SPDX-License-Identifier: Apache-2.0
import {
  bad,
  ELF_EXECUTABLE,
  type ElfFile,
  type ElfRelocation,
  ElfSymbolType,
  viewOf,
} from "#kernel/bpf/elf.ts";

/** A function of the object: bytes `start..end` of an executable section. */
export interface BpfFunction {
  readonly name: string;
  readonly section: number;
  readonly start: number;
  readonly end: number;
}

/** An instruction (a pair: `ld_imm64`) that takes a map's fd, or an address inside a data section, at load. */
export interface MapReference {
  readonly instruction: number;
  readonly map: string;
  /** Offset inside the data section; undefined: the map itself. */
  readonly valueOffset: number | undefined;
}

/** An entry function with every function it can reach behind it. */
export interface Assembled {
  readonly instructions: Uint8Array;
  readonly references: readonly MapReference[];
  readonly functions: readonly { readonly function: BpfFunction; readonly at: number }[];
}

const INSN = 8;
const LD_IMM64 = 0x18;
const CALL = 0x85;
const PSEUDO_MAP_FD = 1;
const PSEUDO_MAP_VALUE = 2;
const PSEUDO_FUNC = 4;
const PSEUDO_CALL = 1;
/** The verifier's own limits are lower. */
const MAX_FUNCTIONS = 1024;
const MAX_INSTRUCTIONS = 1_000_000;

/** Functions of all executable sections, by section index, in order. */
function findFunctions(elf: ElfFile): Map<number, BpfFunction[]> {
  const found = new Map<number, BpfFunction[]>();
  for (const symbol of elf.symbols) {
    const section = elf.sections[symbol.section];
    if (symbol.type !== ElfSymbolType.func || section === undefined || (section.flags & ELF_EXECUTABLE) === 0)
      continue;
    const end = symbol.value + symbol.size;
    if (
      symbol.size === 0 ||
      symbol.value % INSN !== 0 ||
      symbol.size % INSN !== 0 ||
      end > section.data.length
    ) {
      throw bad(`function "${symbol.name}" does not consist of whole instructions`);
    }
    const list = found.get(symbol.section) ?? [];
    list.push({ name: symbol.name, section: symbol.section, start: symbol.value, end });
    found.set(symbol.section, list);
  }
  for (const list of found.values()) list.sort((a, b) => a.start - b.start);
  return found;
}

/** What {@link assemble} needs to know of the object; the relocations are by section, then byte offset. */
export interface CodeSource {
  readonly elf: ElfFile;
  readonly functions: ReadonlyMap<number, readonly BpfFunction[]>;
  readonly relocations: ReadonlyMap<number, ReadonlyMap<number, ElfRelocation>>;
}

export function codeSource(elf: ElfFile): CodeSource {
  const relocations = new Map<number, Map<number, ElfRelocation>>();
  for (const [section, list] of elf.relocations) {
    relocations.set(section, new Map(list.map((relocation) => [relocation.offset, relocation])));
  }
  return { elf, functions: findFunctions(elf), relocations };
}

/** Lays the entry and all it calls or takes the address of behind each other and resolves the calls between them. */
export function assemble(source: CodeSource, entry: BpfFunction): Assembled {
  const placed = new Map<string, { function: BpfFunction; at: number }>();
  const references: MapReference[] = [];
  const patches: { at: number; target: BpfFunction }[] = [];
  const queue: BpfFunction[] = [entry];
  let length = 0;
  const place = (fn: BpfFunction) => {
    if (placed.has(keyOf(fn))) return;
    if (placed.size >= MAX_FUNCTIONS) throw bad(`${entry.name} reaches more than ${MAX_FUNCTIONS} functions`);
    placed.set(keyOf(fn), { function: fn, at: length });
    length += (fn.end - fn.start) / INSN;
    if (length > MAX_INSTRUCTIONS) throw bad(`${entry.name} has more than ${MAX_INSTRUCTIONS} instructions`);
  };
  place(entry);
  for (let fn = queue.shift(); fn !== undefined; fn = queue.shift()) {
    const at = placed.get(keyOf(fn))!.at;
    for (const use of usesOf(source, fn)) {
      const instruction = at + use.instruction;
      if ("map" in use) references.push({ ...use, instruction });
      else {
        if (!placed.has(keyOf(use.target))) queue.push(use.target);
        place(use.target);
        patches.push({ at: instruction, target: use.target });
      }
    }
  }
  const instructions = new Uint8Array(length * INSN);
  const functions = [...placed.values()];
  for (const { function: fn, at } of functions) {
    instructions.set(source.elf.sections[fn.section]!.data.subarray(fn.start, fn.end), at * INSN);
  }
  const view = viewOf(instructions);
  for (const { at, target } of patches) patchCall(view, at, placed.get(keyOf(target))!.at);
  for (const reference of references) patchReference(view, reference);
  return { instructions, references, functions };
}

function keyOf(fn: BpfFunction): string {
  return `${fn.section}:${fn.start}`;
}

/** A call, or a function's address for a callback: the distance counts from the instruction after. */
function patchCall(view: DataView, at: number, target: number): void {
  const opcode = view.getUint8(at * INSN);
  setSourceRegister(view, at, opcode === CALL ? PSEUDO_CALL : PSEUDO_FUNC);
  view.setInt32(at * INSN + 4, target - at - 1, true);
}

/** Everything but the fd, which is known at load. */
function patchReference(view: DataView, { instruction, valueOffset }: MapReference): void {
  setSourceRegister(view, instruction, valueOffset === undefined ? PSEUDO_MAP_FD : PSEUDO_MAP_VALUE);
  view.setUint32(instruction * INSN + 4, 0, true);
  view.setUint32((instruction + 1) * INSN + 4, valueOffset ?? 0, true);
}

function setSourceRegister(view: DataView, at: number, register: number): void {
  view.setUint8(at * INSN + 1, (view.getUint8(at * INSN + 1) & 0x0f) | (register << 4));
}

type Use = MapReference | { readonly instruction: number; readonly target: BpfFunction };

function* usesOf(source: CodeSource, fn: BpfFunction): Generator<Use> {
  const view = viewOf(source.elf.sections[fn.section]!.data);
  const relocations = source.relocations.get(fn.section);
  for (let at = fn.start; at < fn.end; at += INSN) {
    const instruction = (at - fn.start) / INSN;
    const opcode = view.getUint8(at);
    const relocation = relocations?.get(at);
    if (opcode === LD_IMM64) {
      if (at + INSN >= fn.end) throw bad(`${fn.name} ends inside an instruction`);
      if (relocation !== undefined)
        yield addressUse(source, fn, { relocation, instruction, addend: view.getInt32(at + 4, true) });
      at += INSN;
    } else if (opcode === CALL && (relocation !== undefined || view.getUint8(at + 1) >> 4 === PSEUDO_CALL)) {
      const next = (view.getInt32(at + 4, true) + 1) * INSN;
      if (relocation === undefined) {
        yield { instruction, target: functionAt(source, fn.section, at + next, fn.name) };
      } else {
        const { symbol } = relocation;
        if (symbol.section === 0)
          throw bad(
            `${fn.name} calls "${symbol.name}", which is not in the object (kernel functions are not supported)`,
          );
        yield { instruction, target: functionAt(source, symbol.section, symbol.value + next, fn.name) };
      }
    } else if (relocation !== undefined) {
      throw bad(`${fn.name} has a relocation at an instruction that takes none`);
    }
  }
}

function addressUse(
  source: CodeSource,
  fn: BpfFunction,
  use: { relocation: ElfRelocation; instruction: number; addend: number },
): Use {
  const { relocation, instruction, addend } = use;
  const { symbol } = relocation;
  const section = source.elf.sections[symbol.section];
  if (section === undefined || symbol.section === 0) {
    throw bad(`${fn.name} refers to "${symbol.name}", which is not in the object`);
  }
  if (section.name === ".maps") return { instruction, map: symbol.name, valueOffset: undefined };
  const offset = symbol.value + addend;
  if ((section.flags & ELF_EXECUTABLE) !== 0) {
    return { instruction, target: functionAt(source, symbol.section, offset, fn.name) };
  }
  if (!isDataSection(section.name)) throw bad(`${fn.name} refers to section ${section.name}`);
  if (offset < 0 || offset > section.size)
    throw bad(`${fn.name} refers to a place outside of ${section.name}`);
  return { instruction, map: section.name, valueOffset: offset };
}

/** Sections of variables; each becomes an array map of one element. */
export function isDataSection(name: string): boolean {
  return /^\.(rodata|data|bss)(\.|$)/.test(name);
}

function functionAt(source: CodeSource, section: number, offset: number, from: string): BpfFunction {
  const found = source.functions.get(section)?.find((fn) => fn.start === offset);
  if (found === undefined) {
    throw bad(
      `${from} calls to byte ${offset} of section ${source.elf.sections[section]?.name ?? section}, where no function starts`,
    );
  }
  return found;
}
