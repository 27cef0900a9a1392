// SPDX-License-Identifier: Apache-2.0
/** What the programs of pods say when they are called wrongly, or told what they do not know. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const root = join(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "weft-programs-"));
after(() => rmSync(dir, { recursive: true }));

function run(program: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, `src/main/${program}.ts`), ...args],
    {
      encoding: "utf8",
      timeout: 60_000,
    },
  );
  return { status, text: stdout + stderr };
}

for (const [program, name] of [
  ["agent", "weft-agent"],
  ["operator", "weft-operator"],
  ["relay", "weft-relay"],
] as const) {
  test(`${name}: an option it does not know`, () => {
    const { status, text } = run(program, "--bogus");
    assert.equal(status, 2);
    assert.match(text, new RegExp(`^Unknown option '--bogus'[^]*\\nUsage: ${name} `));
  });

  test(`${name}: a setting it does not know, and none at all`, () => {
    const file = join(dir, `${program}.yaml`);
    writeFileSync(file, "nodeName: n1\nbogus: 1\n");
    const { status, text } = run(program, "--config", file);
    assert.equal(status, 1);
    assert.match(text, /"code":"E_CONFIG"/);
    assert.match(text, /Unrecognized keys?: [^}]*\\"bogus\\"/);
    const missing = run(program, "--config", join(dir, "missing.yaml"));
    assert.equal(missing.status, 1);
    assert.match(missing.text, /cannot read [^"]*missing\.yaml[^"]*".*--config/);
  });
}
