// SPDX-License-Identifier: Apache-2.0
// Each file of tests/stories/policy is a story: policies in, the rules and entries they become out. Run this file itself with
// --update to write what comes out now into the files.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { compileAll, entriesText, parseIdentities, rulesText } from "#kit/policy-story.ts";
import { formatTxtar, parseTxtar } from "#kit/txtar.ts";

const directory = join(import.meta.dirname, "policy");
const update = process.argv.includes("--update");
const cluster = parseIdentities(readFileSync(join(directory, "identities.txt"), "utf8"));

for (const name of readdirSync(directory).filter((file) => file.endsWith(".story"))) {
  test(name, () => {
    const path = join(directory, name);
    const text = readFileSync(path, "utf8");
    const { comment, files } = parseTxtar(text);
    const { rules, refused } = compileAll(files.get("policies.yaml") ?? "");
    const out = new Map(files).set("rules", rulesText(rules)).set("entries", entriesText(rules, cluster));
    if (refused.length > 0) out.set("refused", `${refused.join("\n")}\n`);
    const now = formatTxtar({ comment, files: out });
    if (update) writeFileSync(path, now);
    else assert.equal(now, text);
  });
}
