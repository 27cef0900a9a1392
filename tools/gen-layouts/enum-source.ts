// SPDX-License-Identifier: Apache-2.0
import type { BtfType } from "#kernel/bpf/btf.ts";
import { camel, pascal } from "./names.ts";

/** A C enum as a constant object, its type, and its values' names (in C's spelling, without the prefix). */
export function enumSource(type: BtfType): string {
  const names = type.values.map(({ name }) => name);
  const prefix = names.length > 1 ? commonPrefix(names) : ownPrefix(names[0]!, type.name);
  const members = type.values.map(({ name, value }) => `  ${camel(name.slice(prefix.length))}: ${value},`);
  const back = type.values.map(({ name, value }) => `  [${value}, "${name.slice(prefix.length)}"],`);
  const typeName = pascal(type.name);
  return `/** \`enum ${type.name}\` */
export const ${typeName} = {
${members.join("\n")}
} as const;
export type ${typeName} = (typeof ${typeName})[keyof typeof ${typeName}];

export const ${camel(type.name)}Names: ReadonlyMap<number, string> = new Map([
${back.join("\n")}
]);
`;
}

/** The longest prefix all names share, up to and with an underscore. */
function commonPrefix(names: readonly string[]): string {
  let length = 0;
  while (names.every((name) => length < name.length && name[length] === names[0]![length])) length++;
  return names[0]!.slice(0, names[0]!.lastIndexOf("_", length - 1) + 1);
}

/** For a single name: the words it begins with that the enum's own name has too. */
function ownPrefix(name: string, enumName: string): string {
  const words = enumName.toUpperCase().split("_");
  let length = 0;
  for (const word of words) {
    if (!name.startsWith(`${word}_`, length)) break;
    length += word.length + 1;
  }
  return name.slice(0, length);
}
