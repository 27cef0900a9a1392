// SPDX-License-Identifier: Apache-2.0
// Holds deps.json: which room of src/ may import which. Prints each arrow that is not allowed, and files that import each other in a circle.
import { globSync, readFileSync } from "node:fs";
import { importCircles, specifiersOf } from "./import-circles.ts";

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

const files = globSync("src/**/*.ts").sort();
for (const file of files) {
  const room = file.split("/")[1]!;
  const allowed = rules[room];
  if (!Array.isArray(allowed)) {
    complain(file, `room "${room}" is not in deps.json`);
    continue;
  }
  const test = /\.test\.ts$|\/testdata\//.test(file);
  const text = readFileSync(file, "utf8");
  for (const specifier of specifiersOf(text)) {
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
for (const circle of importCircles(files))
  complain(
    circle[0]!,
    `imports itself by way of ${circle.slice(1).join(", ")}: give what they share a file of its own`,
  );
if (broken > 0) {
  console.error(`${broken} import${broken === 1 ? "" : "s"} against the rules`);
  process.exit(1);
}
