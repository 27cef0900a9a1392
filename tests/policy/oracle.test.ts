// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const folder = join(import.meta.dirname, "oracle");

test("the oracle reads manifests and nothing of the product", () => {
  const files = globSync("**/*.ts", { cwd: folder });
  assert.ok(files.length > 4);
  for (const file of files) {
    const text = readFileSync(join(folder, file), "utf8");
    const found = text.matchAll(/^(?:import|export)\b[^"]*?\bfrom "([^"]+)"|\bimport\(?\s*"([^"]+)"/gm);
    const imports = [...found].map((match) => match[1] ?? match[2]!);
    const others = imports.filter((name) => !name.startsWith("node:") && !/^\.\/[\w-]+\.ts$/.test(name));
    assert.deepEqual(others, [], file);
  }
});
