// SPDX-License-Identifier: Apache-2.0
// Holds deps.json: which room of src/ may import which. Prints each arrow that is not allowed.
import { globSync, readFileSync } from "node:fs";

const rules = JSON.parse(readFileSync("deps.json", "utf8")) as Record<string, string[]>;
const dependencies = JSON.parse(readFileSync("package.json", "utf8")) as Record<
  string,
  Record<string, string>
>;
const external = new Set(Object.keys(dependencies["dependencies"] ?? {}));
let broken = 0;

function complain(file: string, text: string): void {
  console.error(`${file}: ${text}`);
  broken++;
}

function roomOf(specifier: string, file: string): string | undefined {
  const hash = /^#([a-z0-9-]+)\//.exec(specifier);
  if (hash) return hash[1];
  if (!specifier.startsWith(".")) return undefined;
  const path = new URL(specifier, `file:///${file}`).pathname.slice(1).split("/");
  return path[0] === "src" ? path[1] : path[0];
}

for (const file of globSync("src/**/*.ts").sort()) {
  const room = file.split("/")[1]!;
  const allowed = rules[room];
  if (!Array.isArray(allowed)) {
    complain(file, `room "${room}" is not in deps.json`);
    continue;
  }
  const test = /\.test\.ts$|\/testdata\//.test(file);
  const text = readFileSync(file, "utf8");
  for (const match of text.matchAll(
    /^(?:import|export)\s[^;]*?from\s+"([^"]+)"|^import\s+"([^"]+)"|import\("([^"]+)"\)/gm,
  )) {
    const specifier = (match[1] ?? match[2] ?? match[3])!;
    const target = roomOf(specifier, file);
    if (target === undefined) {
      const name = specifier
        .split("/")
        .slice(0, specifier.startsWith("@") ? 2 : 1)
        .join("/");
      if (!specifier.startsWith("node:") && !external.has(name) && !test) {
        complain(file, `imports "${name}", which package.json does not list under dependencies`);
      }
    } else if (target !== room && !test && !allowed.includes("*") && !allowed.includes(target)) {
      complain(
        file,
        `room "${room}" may not import "${target}" (${specifier}); change deps.json if you mean it`,
      );
    }
  }
}
if (broken > 0) {
  console.error(`${broken} import${broken === 1 ? "" : "s"} against the rules of deps.json`);
  process.exit(1);
}
