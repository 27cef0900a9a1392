// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { entrypoint, environment, labels } from "./contents.ts";

const root = join(import.meta.dirname, "../..");
const dockerfile = readFileSync(join(root, "Dockerfile"), "utf8").replaceAll(/\\\n\s*/g, "");

test("the Dockerfile takes its files from the same script and has the same settings", () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  assert.match(dockerfile, /tools\/image\/image\.ts --rootfs \/image$/m);
  assert.deepEqual(
    [...dockerfile.matchAll(/^COPY --from=build \/image\/(\w+)\/ \/$/gm)].map((match) => match[1]),
    ["base", "runtime", "weft"],
  );
  const label = Object.entries(labels(version)).map(([key, value]) => `${key}="${value}"`);
  assert.ok(dockerfile.includes(`\nLABEL ${label.join(" ")}\n`), label.join(" "));
  assert.ok(dockerfile.includes(`\nENV ${environment.join(" ")}\n`));
  assert.ok(dockerfile.includes(`\nENTRYPOINT ${JSON.stringify(entrypoint)}\n`));
  assert.ok(dockerfile.includes("\nUSER 0:0\nWORKDIR /\n"));
});
