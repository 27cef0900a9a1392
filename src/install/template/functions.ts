// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { stringify } from "yaml";

export type Value = unknown;

/** The functions templates may call, with Helm's order of arguments and its results. A wrong argument throws an Error. */
export const functions: Readonly<Record<string, (...args: Value[]) => Value>> = {
  default: (fallback, value) => (isTrue(value) ? value : fallback),
  int: (value) => Math.trunc(number(value)),
  eq: (first, ...others) => others.some((other) => other === first),
  ne: (first, second) => first !== second,
  gt: (first, second) => number(first) > number(second),
  not: (value) => !isTrue(value),
  quote: (...values) =>
    values
      .filter((value) => value != null)
      .map((value) => JSON.stringify(printed(value)))
      .join(" "),
  toYaml,
  indent: (count, text) => indented(number(count), string(text)),
  nindent: (count, text) => `\n${indented(number(count), string(text))}`,
  printf: (form, ...values) => formatted(string(form), values),
  sha256sum: (text) => createHash("sha256").update(string(text)).digest("hex"),
  fail: (text) => {
    throw new Error(string(text));
  },
};

/** Go's truth: false, 0, nil, "" and what is empty are not. */
export function isTrue(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** As Go prints it; nothing for what is absent. What would be printed differently (large numbers, lists) is refused. */
export function printed(value: Value): string {
  if (value == null) return "";
  if (typeof value === "string" || typeof value === "boolean") return String(value);
  if (typeof value === "number" && Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  throw new Error(`${JSON.stringify(value)} has to go through toYaml`);
}

function toYaml(value: Value): string {
  return stringify(value, { sortMapEntries: true, indentSeq: false, lineWidth: 0 }).replace(/\n$/, "");
}

function indented(count: number, text: string): string {
  const blanks = " ".repeat(count);
  return blanks + text.replaceAll("\n", `\n${blanks}`);
}

function formatted(form: string, values: readonly Value[]): string {
  let next = 0;
  const text = form.replace(/%(.)/g, (_all, verb: string) => {
    if (verb === "%") return "%";
    if (next >= values.length || !"svdq".includes(verb))
      throw new Error(`printf ${JSON.stringify(form)}: %${verb}`);
    const value = printed(values[next++]);
    return verb === "q" ? JSON.stringify(value) : value;
  });
  if (next < values.length) throw new Error(`printf ${JSON.stringify(form)}: too many values`);
  return text;
}

function string(value: Value): string {
  if (typeof value !== "string") throw new Error(`${JSON.stringify(value)} is not text`);
  return value;
}

function number(value: Value): number {
  if (typeof value !== "number") throw new Error(`${JSON.stringify(value)} is not a number`);
  return value;
}
