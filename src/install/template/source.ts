// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";

/** A place in a template, for messages. */
export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** Code E_TEMPLATE: what is wrong, with file and line. */
export function templateError(at: Place, problem: string, cause?: unknown): WeftError {
  return new WeftError("E_TEMPLATE", `${at.file}:${at.line}: ${problem}`, { cause });
}

export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly code: string; readonly at: Place };

const action = /\{\{(- )?(?:\/\*[\s\S]*?\*\/|([\s\S]*?))( -)?\}\}/g;

/**
 * Text and actions of a template, blanks beside `{{-` and `-}}` taken away, comments left out.
 * @throws WeftError E_TEMPLATE for an action without an end
 */
export function splitTemplate(file: string, source: string): Piece[] {
  const out: Piece[] = [];
  let at = 0;
  let trimNext = false;
  const pushText = (text: string, trimEnd: boolean) => {
    let kept = trimNext ? text.trimStart() : text;
    if (trimEnd) kept = kept.trimEnd();
    if (kept !== "") out.push({ kind: "text", text: kept });
  };
  for (const match of source.matchAll(action)) {
    const [whole, left, code, right] = match;
    pushText(source.slice(at, match.index), left !== undefined);
    const place = { file, line: source.slice(0, match.index).split("\n").length };
    if (code !== undefined) out.push({ kind: "action", code: code.trim(), at: place });
    trimNext = right !== undefined;
    at = match.index + whole.length;
  }
  const rest = source.slice(at);
  const open = rest.indexOf("{{");
  if (open >= 0)
    throw templateError(
      { file, line: source.slice(0, at + open).split("\n").length },
      "the action has no end",
    );
  pushText(rest, false);
  return out;
}
