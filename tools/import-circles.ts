// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { posix } from "node:path";

const imports = /^(?:import|export)\s[^;]*?from\s+"([^"]+)"|^import\s+"([^"]+)"|import\("([^"]+)"\)/gm;

/** What a text imports, types included. */
export function specifiersOf(text: string): string[] {
  return [...text.matchAll(imports)].map((match) => (match[1] ?? match[2] ?? match[3])!);
}

/** `#lib/hash.ts` and `./hash.ts` as paths below the root; undefined: no file of src/. */
function fileOf(specifier: string, file: string): string | undefined {
  if (specifier.startsWith("#")) return `src/${specifier.slice(1)}`;
  return specifier.startsWith(".") ? posix.join(posix.dirname(file), specifier) : undefined;
}

/**
 * Files that import each other in a circle, each circle once: who reads one of them has to read all.
 * @param files paths below the root
 */
export function importCircles(files: readonly string[], read = readText): string[][] {
  const known = new Set(files);
  const targets = new Map(
    files.map((file) => {
      const paths = specifiersOf(read(file)).map((specifier) => fileOf(specifier, file));
      return [file, [...new Set(paths)].filter((path) => path !== undefined && known.has(path)) as string[]];
    }),
  );
  const circles: string[][] = [];
  const done = new Set<string>();
  const walk = (file: string, way: readonly string[]): void => {
    const at = way.indexOf(file);
    if (at >= 0) circles.push(way.slice(at));
    if (at >= 0 || done.has(file)) return;
    for (const target of targets.get(file)!) walk(target, [...way, file]);
    done.add(file);
  };
  for (const file of files) walk(file, []);
  return circles;
}

function readText(file: string): string {
  return readFileSync(file, "utf8");
}
