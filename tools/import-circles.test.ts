// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { importCircles } from "./import-circles.ts";

const files: Readonly<Record<string, string>> = {
  "src/a/one.ts": 'import type { Two } from "#b/two.ts";\nimport { x } from "yaml";',
  "src/b/two.ts": 'export { three } from "./three.ts";',
  "src/b/three.ts": 'const later = () => import("../a/one.ts");',
  "src/b/four.ts": 'import {\n  three,\n} from "./three.ts";',
};

test("files that import each other, also by types and later", () => {
  const found = importCircles(Object.keys(files), (file) => files[file]!);
  assert.deepEqual(found, [["src/a/one.ts", "src/b/two.ts", "src/b/three.ts"]]);
});

test("a way that ends is no circle", () => {
  const some = ["src/a/one.ts", "src/b/two.ts", "src/b/four.ts"];
  assert.deepEqual(
    importCircles(some, (file) => files[file]!),
    [],
  );
});
