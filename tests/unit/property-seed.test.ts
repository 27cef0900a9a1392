// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";

test("property tests take their seed from one place", () => {
  const files = globSync(["src/**/*.ts", "api/**/*.ts", "tests/**/*.ts", "tools/**/*.ts"]);
  const direct = files.filter((file) => /^import .* from "fast-check"/m.test(readFileSync(file, "utf8")));
  assert.deepEqual(direct, ["tests/kit/property.ts"]);
});
