// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Compiles `tests/bench/NAME.c` when it changed; path of the program. */
export function compileTool(name: string): string {
  const source = `${root}/tests/bench/${name}.c`;
  const program = `${root}/build/bench/${name}`;
  if (mtimeMs(program) > mtimeMs(source)) return program;
  mkdirSync(`${root}/build/bench`, { recursive: true });
  const flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers"];
  execFileSync(process.env["CC"] ?? "clang-19", [...flags, "-o", program, source], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  return program;
}

function mtimeMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
