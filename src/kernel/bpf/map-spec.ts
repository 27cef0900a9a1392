// SPDX-License-Identifier: Apache-2.0
import { type Btf, BtfKind, type BtfType, btfResolve, btfSize, btfType } from "#kernel/bpf/btf.ts";
import { bad, ElfBinding, type ElfFile, type ElfSection, type ElfSymbol } from "#kernel/bpf/elf.ts";

/** A map as the object defines it, before it exists. */
export interface MapSpec {
  readonly name: string;
  /** See `MapType`. */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** `BPF_F_*` */
  readonly flags: number;
  readonly mapExtra: number;
  /** `__uint(pinning, LIBBPF_PIN_BY_NAME)` */
  readonly pinByName: boolean;
  /** BTF type ids; 0: none. */
  readonly keyType: number;
  readonly valueType: number;
  /** Map-in-map: what its inner maps look like. */
  readonly inner: MapSpec | undefined;
  /** Initial elements that name another map (map-in-map) or a program (prog array), by index. */
  readonly references: readonly { readonly index: number; readonly name: string }[];
  /** Data sections: the one element's bytes. */
  readonly contents: Uint8Array | undefined;
}

/** Maps of the `.maps` section, in BTF order (libbpf's `__uint`, `__type`, `__array` conventions). */
export function readMapSpecs(elf: ElfFile, btf: Btf): MapSpec[] {
  const section = elf.sections.find(({ name }) => name === ".maps");
  const datasec = btf.types.find((type) => type.kind === BtfKind.datasec && type.name === ".maps");
  if (section === undefined) return [];
  if (datasec === undefined) throw bad("section .maps has no BTF (compile with -g)");
  return datasec.variables.map(({ type }) => {
    const variable = btfType(btf, type);
    const symbol = elf.symbols.find(
      ({ name, section: at }) => at === section.index && name === variable.name,
    );
    if (symbol === undefined) throw bad(`map "${variable.name}" has no symbol`);
    if (symbol.binding !== ElfBinding.global) throw bad(`map "${variable.name}" is static`);
    const definition = btfResolve(btf, variable.word);
    const spec = readDefinition(btf, definition, { name: variable.name, nested: false });
    return { ...spec, references: readReferences({ elf, btf, section }, symbol, definition) };
  });
}

const NUMBERS = [
  "type",
  "max_entries",
  "map_flags",
  "key_size",
  "value_size",
  "pinning",
  "map_extra",
  "numa_node",
] as const;

function readDefinition(
  btf: Btf,
  definition: BtfType,
  { name, nested }: { name: string; nested: boolean },
): MapSpec {
  if (definition.kind !== BtfKind.struct) throw bad(`map "${name}" is not defined by a struct`);
  const numbers = new Map<string, number>();
  let key: { type: number; size: number } = { type: 0, size: 0 };
  let value = key;
  let inner: MapSpec | undefined;
  for (const member of definition.members) {
    if ((NUMBERS as readonly string[]).includes(member.name)) {
      numbers.set(member.name, readNumber(btf, member.type, name));
    } else if (member.name === "key") {
      key = pointee(btf, member.type, name);
    } else if (member.name === "value") {
      value = pointee(btf, member.type, name);
    } else if (member.name === "values") {
      if (nested) throw bad(`map "${name}" nests more than one map deep`);
      inner = readInner(btf, member.type, name);
      value = { type: 0, size: 4 };
    } else {
      throw bad(`map "${name}" has the unknown field ${member.name}`);
    }
  }
  const type = numbers.get("type");
  if (type === undefined) throw bad(`map "${name}" has no type`);
  return {
    name,
    type,
    keySize: sizeOf({ of: key.size, as: numbers.get("key_size"), name, what: "key" }),
    valueSize: sizeOf({ of: value.size, as: numbers.get("value_size"), name, what: "value" }),
    maxEntries: numbers.get("max_entries") ?? 0,
    flags: numbers.get("map_flags") ?? 0,
    mapExtra: numbers.get("map_extra") ?? 0,
    pinByName: numbers.get("pinning") === 1,
    keyType: key.type,
    valueType: value.type,
    inner,
    references: [],
    contents: undefined,
  };
}

function sizeOf({
  of,
  as,
  name,
  what,
}: {
  of: number;
  as: number | undefined;
  name: string;
  what: string;
}): number {
  if (as !== undefined && of !== 0 && as !== of)
    throw bad(`map "${name}" gives its ${what} two sizes, ${as} and ${of}`);
  return as ?? of;
}

/** `__uint(name, n)` is a pointer to an array of n elements. */
function readNumber(btf: Btf, id: number, map: string): number {
  const pointer = btfResolve(btf, id);
  const array = pointer.kind === BtfKind.ptr ? btfResolve(btf, pointer.word).array : undefined;
  if (array === undefined) throw bad(`map "${map}" has a number that is not written with __uint`);
  return array.length;
}

function pointee(btf: Btf, id: number, map: string): { type: number; size: number } {
  const pointer = btfResolve(btf, id);
  if (pointer.kind !== BtfKind.ptr) throw bad(`map "${map}" has a type that is not written with __type`);
  return { type: pointer.word, size: btfSize(btf, pointer.word) };
}

/** `__array(values, T)` is an array of pointers to T: a map's definition, or a function (prog array). */
function readInner(btf: Btf, id: number, map: string): MapSpec | undefined {
  const array = btfResolve(btf, id).array;
  const pointer = array === undefined ? undefined : btfResolve(btf, array.element);
  if (pointer?.kind !== BtfKind.ptr) throw bad(`map "${map}" has values that are not written with __array`);
  const element = btfResolve(btf, pointer.word);
  if (element.kind === BtfKind.funcProto) return undefined;
  return readDefinition(btf, element, { name: `${map}.inner`, nested: true });
}

function readReferences(
  source: { readonly elf: ElfFile; readonly btf: Btf; readonly section: ElfSection },
  symbol: ElfSymbol,
  definition: BtfType,
): MapSpec["references"] {
  const member = definition.members.find(({ name }) => name === "values");
  if (member === undefined) return [];
  const start = symbol.value + member.bitOffset / 8;
  return (source.elf.relocations.get(source.section.index) ?? [])
    .filter(({ offset }) => offset >= start && offset < symbol.value + symbol.size)
    .map(({ offset, symbol: target }) => ({ index: (offset - start) / 8, name: target.name }));
}
