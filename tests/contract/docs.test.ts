// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cases } from "./cases.ts";

test("docs/lab.md names every known difference between the lab's API server and the real one, and no other", () => {
  const text = readFileSync(join(import.meta.dirname, "../../docs/lab.md"), "utf8");
  const [, table = ""] = /<!-- differences -->\n([\s\S]*?)<!-- \/differences -->/.exec(text) ?? [];
  const rows = [...table.matchAll(/^\| ((?!-|what every).*?) \| (.*?) \|$/gm)].map((row) => [row[1], row[2]]);
  const known = cases.flatMap(({ name, embedded }) => (embedded ? [[name, embedded.differs]] : []));
  assert.deepEqual(rows, known);
});
