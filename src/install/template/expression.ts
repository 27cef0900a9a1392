// SPDX-License-Identifier: Apache-2.0
import { type Place, templateError } from "./source.ts";

export type Expression =
  | { readonly kind: "literal"; readonly value: string | number | boolean | null }
  /** `.a.b` is of dot (no variable), `$.a` of the variable "", `$x.a` of "x". */
  | { readonly kind: "field"; readonly variable: string | undefined; readonly path: readonly string[] }
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Expression[] };

export type Token =
  | { readonly kind: "value"; readonly value: Expression }
  | { readonly kind: "word"; readonly word: string }
  | { readonly kind: "(" | ")" | "|" };

const patterns = {
  blank: /\s+/y,
  string: /"(?:[^"\\\n]|\\.)*"/y,
  raw: /`[^`]*`/y,
  number: /-?\d+(?:\.\d+)?(?![\w.])/y,
  variable: /\$(\w*)((?:\.[A-Za-z_]\w*)*)/y,
  field: /(?:\.[A-Za-z_]\w*)+|\./y,
  word: /[A-Za-z_]\w*/y,
  sign: /[()|]/y,
} as const;

const constants: Readonly<Record<string, boolean | null>> = { true: true, false: false, nil: null };

/** @throws WeftError E_TEMPLATE for what is outside the subset */
export function tokenize(code: string, at: Place): Token[] {
  const out: Token[] = [];
  let from = 0;
  while (from < code.length) {
    const found = matchAt(code, from);
    if (!found) throw templateError(at, `cannot read \`${code.slice(from, from + 30)}\``);
    from += found.text.length;
    if (found.kind !== "blank") out.push(tokenOf(found.kind, found.text));
  }
  return out;
}

function matchAt(code: string, from: number): { kind: keyof typeof patterns; text: string } | undefined {
  for (const [kind, pattern] of Object.entries(patterns) as [keyof typeof patterns, RegExp][]) {
    pattern.lastIndex = from;
    const text = pattern.exec(code)?.[0];
    if (text) return { kind, text };
  }
  return undefined;
}

function tokenOf(kind: keyof typeof patterns, text: string): Token {
  const value = (expression: Expression): Token => ({ kind: "value", value: expression });
  const literal = (of: string | number | boolean | null) => value({ kind: "literal", value: of });
  switch (kind) {
    case "string":
      return literal(JSON.parse(text) as string);
    case "raw":
      return literal(text.slice(1, -1));
    case "number":
      return literal(Number(text));
    case "variable": {
      const [name = "", ...path] = text.slice(1).split(".");
      return value({ kind: "field", variable: name, path });
    }
    case "field":
      return value({
        kind: "field",
        variable: undefined,
        path: text.split(".").filter((part) => part !== ""),
      });
    case "word":
      return Object.hasOwn(constants, text) ? literal(constants[text]!) : { kind: "word", word: text };
    default:
      return { kind: text as "(" | ")" | "|" };
  }
}

/** `f a | g b` is `g b (f a)`. @throws WeftError E_TEMPLATE */
export function parsePipeline(tokens: readonly Token[], at: Place): Expression {
  const state = { tokens, next: 0 };
  const value = pipeline(state, at);
  if (state.next < tokens.length) throw templateError(at, "`)` without `(`");
  return value;
}

interface State {
  readonly tokens: readonly Token[];
  next: number;
}

function pipeline(state: State, at: Place): Expression {
  let value = command(state, at);
  while (state.tokens[state.next]?.kind === "|") {
    state.next++;
    const stage = command(state, at);
    if (stage.kind !== "call") throw templateError(at, "only a function can follow `|`");
    value = { ...stage, args: [...stage.args, value] };
  }
  return value;
}

function command(state: State, at: Place): Expression {
  const first = state.tokens[state.next];
  if (first?.kind === "word") {
    state.next++;
    const args: Expression[] = [];
    for (let one = operand(state, at); one; one = operand(state, at)) args.push(one);
    return { kind: "call", name: first.word, args };
  }
  const value = operand(state, at);
  if (!value) throw templateError(at, "a value is missing");
  const next = state.tokens[state.next];
  if (next && next.kind !== "|" && next.kind !== ")") throw templateError(at, "two values beside each other");
  return value;
}

function operand(state: State, at: Place): Expression | undefined {
  const token = state.tokens[state.next];
  if (!token || token.kind === "|" || token.kind === ")") return undefined;
  state.next++;
  if (token.kind === "value") return token.value;
  if (token.kind === "word") return { kind: "call", name: token.word, args: [] };
  const value = pipeline(state, at);
  if (state.tokens[state.next]?.kind !== ")") throw templateError(at, "`(` without `)`");
  state.next++;
  return value;
}
