// SPDX-License-Identifier: Apache-2.0
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { stringify } from "yaml";
import { WeftError } from "#lib/errors.ts";

export type OutputForm = "table" | "wide" | "json" | "yaml";

export interface Grid {
  readonly columns: readonly { readonly name: string; readonly wide?: boolean }[];
  readonly rows: readonly (readonly (string | number | boolean)[])[];
}

/** @throws WeftError E_USAGE for a form there is not. */
export function outputForm(text: string | undefined): OutputForm {
  if (text === undefined) return "table";
  if (text === "json" || text === "yaml" || text === "wide" || text === "table") return text;
  throw new WeftError("E_USAGE", `unknown output form "${text}"`, {
    hint: "one of: table, wide, json, yaml",
  });
}

/** kubectl's look: upper-case headers, three spaces between columns, no borders, no trailing blanks. */
export function renderGrid(grid: Grid, wide: boolean): string {
  const kept = grid.columns
    .map((column, index) => ({ column, index }))
    .filter(({ column }) => wide || !column.wide);
  const lines = [kept.map(({ column }) => column.name.toUpperCase())];
  for (const row of grid.rows) {
    lines.push(
      kept.map(({ index }) =>
        row[index] === "" || row[index] === undefined ? "<none>" : String(row[index]),
      ),
    );
  }
  const widths = kept.map((_, at) => Math.max(...lines.map((line) => line[at]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, at) => cell.padEnd(widths[at]!))
        .join("   ")
        .trimEnd(),
    )
    .join("\n");
}

/** Prints a grid in the asked form; JSON and YAML get one object a row, keyed by column. */
export function printGrid(grid: Grid, form: OutputForm, write: (text: string) => void): void {
  if (form === "table" || form === "wide") {
    write(grid.rows.length === 0 ? "No rows found.\n" : `${renderGrid(grid, form === "wide")}\n`);
    return;
  }
  const objects = grid.rows.map((row) =>
    Object.fromEntries(grid.columns.map((c, i) => [keyOf(c.name), row[i]])),
  );
  printObject(objects, form, write);
}

export function printObject(value: unknown, form: "json" | "yaml", write: (text: string) => void): void {
  write(form === "json" ? `${JSON.stringify(value, null, 2)}\n` : stringify(value));
}

/** A list, one after the other as they come: it may be longer than memory. */
export async function printList(
  values: Iterable<unknown>,
  form: "json" | "yaml",
  out: NodeJS.WritableStream,
): Promise<void> {
  await pipeline(Readable.from(form === "json" ? jsonParts(values) : yamlParts(values)), out, { end: false });
}

function* jsonParts(values: Iterable<unknown>): Generator<string> {
  let before = "[";
  for (const value of values) {
    yield `${before}\n${JSON.stringify(value, null, 2).replace(/^/gm, "  ")}`;
    before = ",";
  }
  yield before === "[" ? "[]\n" : "\n]\n";
}

function* yamlParts(values: Iterable<unknown>): Generator<string> {
  let empty = true;
  for (const value of values) {
    yield stringify([value]);
    empty = false;
  }
  if (empty) yield stringify([]);
}

/** `TRACE-POINT` is `tracePoint` in JSON. */
function keyOf(header: string): string {
  return header.toLowerCase().replace(/[-_ ]+([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase());
}
