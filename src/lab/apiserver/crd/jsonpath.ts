// SPDX-License-Identifier: Apache-2.0
import { isObject, type Json } from "../object.ts";

type Step = (values: readonly Json[]) => Json[];

/**
 * The JSONPath of printer columns: `.a.b`, `.a\.b`, `['a']`, `[0]`, `[*]`, `[?(@.type=="Ready")]`. Anything else finds nothing.
 * Returns all values found.
 */
export function compilePath(path: string): (from: Json) => Json[] {
  const steps: Step[] = [];
  const token =
    /\.((?:\\.|[^.[\]\\])+)|\[(\d+)\]|\[\*\]|\['([^']*)'\]|\[\?\(@\.([\w.-]+)\s*==\s*(?:"([^"]*)"|'([^']*)'|([^)]*))\)\]/y;
  const text = path.startsWith(".") || path.startsWith("[") ? path : `.${path}`;
  let at = 0;
  while (at < text.length) {
    token.lastIndex = at;
    const match = token.exec(text);
    if (!match) return () => [];
    steps.push(stepOf(match));
    at = token.lastIndex;
  }
  return (from) => steps.reduce<Json[]>((values, step) => step(values), [from]);
}

function stepOf(match: RegExpExecArray): Step {
  const [, name, index, quoted, key, double, single, bare] = match;
  const field = name?.replace(/\\(.)/g, "$1") ?? quoted;
  if (field === "*" || match[0] === "[*]") return (values) => values.flatMap(childrenOf);
  if (field !== undefined)
    return (values) =>
      values.flatMap((value) => (isObject(value) && value[field] !== undefined ? [value[field]] : []));
  if (index !== undefined)
    return (values) =>
      values.flatMap((value) =>
        Array.isArray(value) && Number(index) in value ? [value[Number(index)]] : [],
      );
  const wanted = double ?? single ?? bare?.trim() ?? "";
  const read = compilePath(`.${key}`);
  return (values) =>
    values.flatMap(childrenOf).filter((item) => read(item).some((value) => String(value) === wanted));
}

function childrenOf(value: Json): Json[] {
  if (Array.isArray(value)) return value;
  return isObject(value) ? Object.values(value) : [];
}
