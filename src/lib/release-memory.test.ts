// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const file = fileURLToPath(new URL("release-memory.ts", import.meta.url));
const program = `
  import { releaseStartMemory } from ${JSON.stringify(file)};
  let waste = Array.from({ length: 400_000 }, (_, i) => ({ i, text: "x" + i }));
  const before = process.memoryUsage().heapTotal;
  waste = undefined;
  releaseStartMemory(1);
  setTimeout(() => console.log(before - process.memoryUsage().heapTotal, typeof globalThis.gc), 50);
`;

test("what the start took and nothing needs goes back", () => {
  const out = execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
  const [released, gc] = out.trim().split(" ");
  assert.ok(Number(released) > 10_000_000, `released ${released} bytes`);
  assert.equal(gc, "undefined");
});
