// SPDX-License-Identifier: Apache-2.0
// npm run test:policy -- [--cases N] [--seed N]: the agreement of oracle, entries and program, for as long as one likes.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { cases: { type: "string", default: "100000" }, seed: { type: "string" } },
});
const seed = values.seed ?? String(Math.floor(Math.random() * 2 ** 31));
if (!/^\d+$/.test(values.cases) || !/^-?\d+$/.test(seed)) {
  console.error("usage: npm run test:policy -- [--cases N] [--seed N]");
  process.exit(2);
}
console.log(`${values.cases} cases, seed ${seed}`);
const env = { ...process.env, POLICY_CASES: values.cases, WEFT_SEED: seed };
const argv = ["--test", "--test-reporter=spec", join(import.meta.dirname, "agree.kernel.test.ts")];
process.exit(spawnSync(process.execPath, argv, { stdio: "inherit", env }).status ?? 1);
