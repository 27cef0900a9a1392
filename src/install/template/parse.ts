// SPDX-License-Identifier: Apache-2.0
import { type Expression, parsePipeline, tokenize } from "./expression.ts";
import { type Piece, type Place, splitTemplate, templateError } from "./source.ts";

export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "print"; readonly value: Expression; readonly at: Place }
  | { readonly kind: "set"; readonly name: string; readonly value: Expression; readonly at: Place }
  | {
      readonly kind: "if" | "with";
      readonly value: Expression;
      readonly then: readonly Node[];
      readonly otherwise: readonly Node[];
      readonly at: Place;
    }
  | {
      readonly kind: "range";
      /** Names of the variables: key and value, only the value, or none. */
      readonly names: readonly string[];
      readonly value: Expression;
      readonly then: readonly Node[];
      readonly otherwise: readonly Node[];
      readonly at: Place;
    };

export type Definitions = Map<string, readonly Node[]>;

interface Cursor {
  readonly pieces: readonly Piece[];
  next: number;
  readonly definitions: Definitions;
}

/** Reads one file of the chart; what it defines goes into `definitions`. @throws WeftError E_TEMPLATE */
export function parseTemplate(file: string, source: string, definitions: Definitions): readonly Node[] {
  const cursor: Cursor = { pieces: splitTemplate(file, source), next: 0, definitions };
  const { nodes, end } = parseNodes(cursor, 0);
  if (end) throw templateError(end.at, `"${end.word}" without a beginning`);
  return nodes;
}

interface End {
  readonly word: "end" | "else";
  /** What follows: `if …` of an `else if`. */
  readonly rest: string;
  readonly at: Place;
}

/** Up to `end`, `else` or the end of the file. */
function parseNodes(cursor: Cursor, depth: number): { nodes: Node[]; end: End | undefined } {
  const nodes: Node[] = [];
  while (cursor.next < cursor.pieces.length) {
    const piece = cursor.pieces[cursor.next++]!;
    if (piece.kind === "text") {
      nodes.push(piece);
      continue;
    }
    const { code, at } = piece;
    const [, word = "", rest = ""] = /^(\w*)\s*([\s\S]*)$/.exec(code) ?? [];
    if (word === "end" || word === "else") return { nodes, end: { word, rest, at } };
    if (word === "define") {
      if (depth > 0) throw templateError(at, "define inside another block");
      define(cursor, rest, at);
    } else if (word === "if" || word === "with" || word === "range")
      nodes.push(block(cursor, { word, rest, at }, depth));
    else if (word === "template" || word === "block" || word === "break" || word === "continue")
      throw templateError(at, `"${word}" is not of the subset this chart uses`);
    else nodes.push(simple(code, at));
  }
  return { nodes, end: undefined };
}

function simple(code: string, at: Place): Node {
  const set = /^\$(\w+)\s*:=\s*([\s\S]+)$/.exec(code);
  if (set) return { kind: "set", name: set[1]!, value: parsePipeline(tokenize(set[2]!, at), at), at };
  return { kind: "print", value: parsePipeline(tokenize(code, at), at), at };
}

function define(cursor: Cursor, rest: string, at: Place): void {
  const name = /^"([^"]+)"$/.exec(rest)?.[1];
  if (name === undefined) throw templateError(at, 'define needs a name: {{ define "name" }}');
  const { nodes, end } = parseNodes(cursor, 1);
  if (end?.word !== "end") throw templateError(at, `define "${name}" has no end`);
  if (cursor.definitions.has(name)) throw templateError(at, `"${name}" is defined twice`);
  cursor.definitions.set(name, nodes);
}

interface Head {
  readonly word: "if" | "with" | "range";
  readonly rest: string;
  readonly at: Place;
}

function block(cursor: Cursor, head: Head, depth: number): Node {
  const { word, at } = head;
  const { names, code } = rangeNames(head);
  const value = parsePipeline(tokenize(code, at), at);
  const { nodes: then, end } = parseNodes(cursor, depth + 1);
  if (!end) throw templateError(at, `"${word}" has no end`);
  const otherwise = end.word === "end" ? [] : elseNodes(cursor, head, { end, depth });
  return word === "range"
    ? { kind: word, names, value, then, otherwise, at }
    : { kind: word, value, then, otherwise, at };
}

function elseNodes(cursor: Cursor, head: Head, { end, depth }: { end: End; depth: number }): Node[] {
  if (end.rest !== "") {
    const [, word, rest = ""] = /^(if)\s+([\s\S]+)$/.exec(end.rest) ?? [];
    if (word !== "if" || head.word !== "if")
      throw templateError(end.at, `"else ${end.rest}" is not of the subset this chart uses`);
    return [block(cursor, { word, rest, at: end.at }, depth)];
  }
  const { nodes, end: last } = parseNodes(cursor, depth + 1);
  if (last?.word !== "end") throw templateError(head.at, `"${head.word}" has no end`);
  return nodes;
}

function rangeNames({ word, rest }: Head): { names: string[]; code: string } {
  const found = word === "range" && /^\$(\w+)(?:\s*,\s*\$(\w+))?\s*:=\s*([\s\S]+)$/.exec(rest);
  if (!found) return { names: [], code: rest };
  return { names: [found[1]!, found[2]].filter((name) => name !== undefined), code: found[3]! };
}
