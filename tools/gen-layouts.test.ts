// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { generateLayouts, LAYOUTS } from "./gen-layouts.ts";

test("src/datapath/layouts is what the headers say (else: npm run gen)", () => {
  const files = generateLayouts();
  assert.deepEqual(readdirSync(LAYOUTS).sort(), [...files.keys()].sort());
  for (const [name, text] of files) assert.equal(readFileSync(join(LAYOUTS, name), "utf8"), text, name);
});
