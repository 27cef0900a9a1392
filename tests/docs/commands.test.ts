// SPDX-License-Identifier: Apache-2.0
// Commands that pages name in their text, where nobody runs them, exist, with the options they are shown with.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Command } from "commander";
import { program } from "../../src/main/weft-program.ts";

const root = join(import.meta.dirname, "../..");
const pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", ...globSync("docs/**/*.md", { cwd: root })];

/** `weft …` between backquotes, and at the start of a line of a block. */
function shown(text: string): string[] {
  const inline = [...text.matchAll(/`(?:\.\/)?weft ([^`]+)`/g)].map(([, words]) => words!);
  const blocks = [...text.matchAll(/^ *(?:\.\/)?weft (.+)$/gm)].map(([, words]) => words!);
  return [...inline, ...blocks].map((line) => line.replace(/ #.*$| {2,}.*$/, ""));
}

function problemOf(weft: Command, line: string): string | undefined {
  let command = weft;
  const options: string[] = [];
  for (const word of line.split(/\s+/)) {
    const sub = options.length === 0 ? command.commands.find((one) => one.name() === word) : undefined;
    if (sub) command = sub;
    else if (word === "--" || word === "|" || word === ">") break;
    else if (/^--?[a-z]/.test(word)) options.push(word.replace(/=.*$/, ""));
    else if (command === weft || (command.commands.length > 0 && command.registeredArguments.length === 0))
      return /^[a-z]/.test(word) ? `no command ${word}` : undefined;
  }
  const unknown = options.filter(
    (name) =>
      name !== "--help" && !command.options.some(({ long, short }) => long === name || short === name),
  );
  return unknown.length > 0 ? `${command.name()} has no ${unknown.join(" ")}` : undefined;
}

test("commands in the text of pages exist, with their options", async () => {
  const weft = await program([]);
  const wrong = pages.flatMap((page) =>
    shown(readFileSync(join(root, page), "utf8")).flatMap((line) => {
      const problem = problemOf(weft, line);
      return problem === undefined ? [] : [`${page}: weft ${line}: ${problem}`];
    }),
  );
  assert.deepEqual(wrong, []);
});
