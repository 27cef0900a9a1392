// SPDX-License-Identifier: Apache-2.0
import { stripVTControlCharacters } from "node:util";

/** Below this, broken lines are harder to read than those the terminal breaks. */
const least = 40;

/**
 * Breaks a line at blanks so that it fits; what goes on is indented. Without a terminal (no columns) lines stay whole, for who searches in them.
 * Colours take no room.
 */
export function wrap(line: string, columns: number | undefined, indent: number): string {
  if (columns === undefined || columns < least || widthOf(line) <= columns) return line;
  const lead = /^ */.exec(line)![0];
  const out: string[] = [];
  let current = lead;
  let empty = true;
  for (const word of line.slice(lead.length).split(" ")) {
    if (!empty && widthOf(current) + 1 + widthOf(word) > columns) {
      out.push(current.trimEnd());
      current = " ".repeat(indent);
      empty = true;
    }
    current += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...out, current].join("\n");
}

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}
