// SPDX-License-Identifier: Apache-2.0
import { type Btf, BtfKind, type BtfType, btfResolve, btfSize, btfType } from "#kernel/bpf/btf.ts";
import { camel, kebab, pascal } from "./names.ts";

/** One field: its TypeScript type, and expressions that read and write it at `at` (an expression of an offset). */
interface Codec {
  readonly type: string;
  readonly read: (at: string) => string;
  /** A statement. */
  readonly write: (at: string, value: string) => string;
}

interface Context {
  readonly btf: Btf;
  readonly struct: BtfType;
  /** Names used from field-codec.ts, and other generated layouts used. */
  readonly helpers: Set<string>;
  readonly layouts: Set<string>;
}

const BIG_ENDIAN = new Set(["__be16", "__be32", "__be64"]);
const LARGEST_TUPLE = 4;

/** The source of one generated file, without its header. */
export function structSource(btf: Btf, struct: BtfType): string {
  const context: Context = { btf, struct, helpers: new Set(), layouts: new Set() };
  const fields: { name: string; offset: number; codec: Codec }[] = [];
  const zeros: { offset: number; size: number }[] = [];
  let end = 0;
  for (const member of struct.members) {
    if (member.bitSize !== 0 || member.bitOffset % 8 !== 0) throw unable(struct, member.name, "a bit field");
    const offset = member.bitOffset / 8;
    const size = btfSize(btf, member.type);
    if (offset > end) zeros.push({ offset: end, size: offset - end });
    end = offset + size;
    if (/^pad\d*$/.test(member.name)) zeros.push({ offset, size });
    else fields.push({ name: camel(member.name), offset, codec: codecOf(context, member.type, member.name) });
  }
  if (struct.word > end) zeros.push({ offset: end, size: struct.word - end });
  if (zeros.length > 0) context.helpers.add("writeZeros");

  const at = (offset: number) => (offset === 0 ? "offset" : `offset + ${offset}`);
  const name = pascal(struct.name);
  const reads = fields.map(({ name: field, offset, codec }) => `    ${field}: ${codec.read(at(offset))},`);
  const writes = [
    ...fields.map(({ name: field, offset, codec }) => ({
      offset,
      text: codec.write(at(offset), `value.${field}`),
    })),
    ...zeros.map(({ offset, size }) => ({ offset, text: `writeZeros(view, ${at(offset)}, ${size});` })),
  ].sort((a, b) => a.offset - b.offset);
  return `${imports(context)}
/** \`struct ${struct.name}\` */
export interface ${name} {
${fields.map(({ name: field, codec }) => `  readonly ${field}: ${codec.type};`).join("\n")}
}

export const ${camel(struct.name)}Layout: Layout<${name}> = {
  name: "${struct.name}",
  size: ${struct.word},
  read: (view, offset) => ({
${reads.join("\n")}
  }),
  write: (view, offset, value) => {
${writes.map(({ text }) => `    ${text}`).join("\n")}
  },
};

/** Where each field stands, for those who look at one without reading all. */
export const ${name}Offset = {
${fields.map(({ name: field, offset }) => `  ${field}: ${offset},`).join("\n")}
} as const;
`;
}

function imports({ helpers, layouts, struct, btf }: Context): string {
  const lines: string[] = [];
  if (helpers.size > 0) {
    const names = [...helpers].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
    lines.push(`import { ${names.join(", ")} } from "#kernel/bpf/field-codec.ts";`);
  }
  lines.push(`import { type Layout } from "#kernel/bpf/layout.ts";`);
  const usesAddress = struct.members.some(({ type }) => btfResolve(btf, type).name === "addr");
  if (usesAddress) lines.push(`import { type Address } from "#model/ip.ts";`);
  for (const layout of [...layouts].sort()) {
    lines.push(
      `import { type ${pascal(layout)}, ${camel(layout)}Layout } from "#datapath/layouts/${kebab(layout)}.ts";`,
    );
  }
  return `${lines.join("\n")}\n`;
}

function codecOf(context: Context, id: number, field: string): Codec {
  const { btf, struct } = context;
  const type = btfResolve(btf, id);
  if (type.kind === BtfKind.struct && type.name === "addr") return addressCodec(context);
  if (type.kind === BtfKind.struct && type.name !== "") return nestedCodec(context, type);
  if (type.kind === BtfKind.int || type.kind === BtfKind.enum)
    return integerCodec(type, isBigEndian(btf, id));
  if (type.kind === BtfKind.array) {
    const { element, length } = type.array!;
    if (field.endsWith("mac") && length === 6 && btfSize(btf, element) === 1) return macCodec(context);
    return arrayCodec({ element: codecOf(context, element, field), size: btfSize(btf, element), length });
  }
  throw unable(struct, field, `of a kind (${type.kind}) that has no codec`);
}

function addressCodec({ helpers, struct }: Context): Codec {
  // In a key every address is meant, `::` included; in a value sixteen zeros mean none.
  const optional = !struct.name.endsWith("_key");
  const reader = optional ? "readOptionalAddress" : "readAddress";
  helpers.add(reader).add("writeAddress");
  return {
    type: optional ? "Address | undefined" : "Address",
    read: (at) => `${reader}(view, ${at})`,
    write: (at, value) => `writeAddress(view, ${at}, ${value});`,
  };
}

function macCodec({ helpers }: Context): Codec {
  helpers.add("readMac").add("writeMac");
  return {
    type: "string",
    read: (at) => `readMac(view, ${at})`,
    write: (at, value) => `writeMac(view, ${at}, ${value});`,
  };
}

function nestedCodec({ layouts }: Context, type: BtfType): Codec {
  layouts.add(type.name);
  const layout = `${camel(type.name)}Layout`;
  return {
    type: pascal(type.name),
    read: (at) => `${layout}.read(view, ${at})`,
    write: (at, value) => `${layout}.write(view, ${at}, ${value});`,
  };
}

function integerCodec(type: BtfType, bigEndian: boolean): Codec {
  const bits = type.word * 8;
  const signed = type.kind === BtfKind.int ? (type.extra & 0x1000000) !== 0 : type.kindFlag;
  const method = `${bits === 64 ? "Big" : ""}${signed ? "Int" : "Uint"}${bits}`;
  const order = bits === 8 ? "" : `, ${!bigEndian}`;
  return {
    type: bits === 64 ? "bigint" : "number",
    read: (at) => `view.get${method}(${at}${order})`,
    write: (at, value) => `view.set${method}(${at}, ${value}${order});`,
  };
}

function arrayCodec({ element, size, length }: { element: Codec; size: number; length: number }): Codec {
  if (length <= LARGEST_TUPLE) {
    const places = Array.from({ length }, (_, i) => i);
    return {
      type: `readonly [${places.map(() => element.type).join(", ")}]`,
      read: (at) => `[${places.map((i) => element.read(plus(at, i * size))).join(", ")}]`,
      write: (at, value) =>
        places.map((i) => element.write(plus(at, i * size), `${value}[${i}]`)).join("\n    "),
    };
  }
  return {
    type: `readonly ${element.type.includes(" ") ? `(${element.type})` : element.type}[]`,
    read: (at) => `Array.from({ length: ${length} }, (_, i) => ${element.read(`${at} + i * ${size}`)})`,
    write: (at, value) =>
      `for (let i = 0; i < ${length}; i++) ${element.write(`${at} + i * ${size}`, `${value}[i]!`)}`,
  };
}

function plus(at: string, more: number): string {
  if (more === 0) return at;
  const match = /^offset \+ (\d+)$/.exec(at);
  return match === null ? `${at} + ${more}` : `offset + ${Number(match[1]) + more}`;
}

/** Byte order is in the name of the typedef the field was declared with. */
function isBigEndian(btf: Btf, id: number): boolean {
  for (let type = btfType(btf, id), depth = 0; depth < 16; depth++) {
    if (type.kind === BtfKind.typedef && BIG_ENDIAN.has(type.name)) return true;
    if (type.kind === BtfKind.int || type.kind === BtfKind.enum) return false;
    type = btfType(btf, type.word);
  }
  return false;
}

function unable(struct: BtfType, field: string, why: string): Error {
  return new Error(`struct ${struct.name}: field ${field} is ${why}`);
}
