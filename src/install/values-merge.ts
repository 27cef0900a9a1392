// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";

export type Tree = { readonly [key: string]: unknown };

export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** As Helm merges values: maps deeply, everything else replaced; a null takes away what is below. */
export function mergeValues(below: Tree, above: Tree): Tree {
  const out: Record<string, unknown> = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const under = out[key];
    if (value === null) delete out[key];
    else out[key] = isTree(value) ? mergeValues(isTree(under) ? under : {}, value) : value;
  }
  return out;
}

export function valueAt(tree: Tree, path: readonly string[]): unknown {
  let value: unknown = tree;
  for (const key of path) value = isTree(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  return value;
}

/** A tree with one value in it. */
export function treeOf(path: readonly string[], value: unknown): Tree {
  return path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Tree;
}

/**
 * Reads `--set` as Helm writes it: `a.b=c,d=e`, lists `x={a,b}`, a backslash before `,` and `.` that are meant. true, false, null and
 * whole numbers are what they look like.
 * @throws WeftError E_USAGE
 */
export function parseSet(text: string): Tree {
  let out: Tree = {};
  for (const part of splitOutside(text, ",")) {
    const at = part.indexOf("=");
    if (at <= 0) throw new WeftError("E_USAGE", `--set ${text}: expected key=value`);
    const path = splitOutside(part.slice(0, at), ".").map(plain);
    if (path.some((key) => key === "" || /[[\]]/.test(key)))
      throw new WeftError("E_USAGE", `--set ${text}: "${part.slice(0, at)}" is not a key`, {
        hint: "a list is set as a whole: --set key={a,b}",
      });
    out = mergeSet(out, treeOf(path, parseValue(part.slice(at + 1))));
  }
  return out;
}

/** Nulls stay: they take away what a lower layer says. */
function mergeSet(below: Tree, above: Tree): Tree {
  const out: Record<string, unknown> = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const under = out[key];
    out[key] = isTree(value) && isTree(under) ? mergeSet(under, value) : value;
  }
  return out;
}

function parseValue(text: string): unknown {
  if (/^\{.*\}$/s.test(text)) {
    const inner = text.slice(1, -1);
    return inner === "" ? [] : splitOutside(inner, ",").map(scalar);
  }
  return scalar(text);
}

function scalar(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  if (text === "null") return null;
  if (/^-?(0|[1-9]\d{0,14})$/.test(text)) return Number(text);
  return plain(text);
}

function plain(text: string): string {
  return text.replace(/\\(.)/g, "$1");
}

/** Splits at a character that is neither escaped nor inside braces. */
function splitOutside(text: string, separator: string): string[] {
  const parts = [""];
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (char === "\\") {
      parts[parts.length - 1] += char + (text[++at] ?? "");
      continue;
    }
    if (char === "{") depth++;
    if (char === "}") depth--;
    if (char === separator && depth === 0) parts.push("");
    else parts[parts.length - 1] += char;
  }
  return parts;
}
