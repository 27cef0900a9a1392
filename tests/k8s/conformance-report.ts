// SPDX-License-Identifier: Apache-2.0
// Writes docs/conformance.md from the JUnit files of a run; suites that were not run keep what it says of them. `conformance-report.ts [DIR]`:
// where they lie (build/kubernetes).
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { conformanceDocument } from "./upstream/report.ts";
import { suiteResults } from "./upstream/run-suite.ts";
import { suites } from "./upstream/suites.ts";

const dir = process.argv[2] ?? "build/kubernetes";
const found = suites.filter((suite) => existsSync(join(dir, `${suite.name}.junit.xml`)));
if (found.length === 0) {
  console.error(`conformance-report: no *.junit.xml in ${dir}: \`npm run test:kubernetes\` writes them`);
  process.exit(1);
}
const results = new Map(
  found.map((suite) => [
    suite,
    suiteResults(readFileSync(join(dir, `${suite.name}.junit.xml`), "utf8"), suite),
  ]),
);
const page = "docs/conformance.md";
writeFileSync(page, conformanceDocument(results, existsSync(page) ? readFileSync(page, "utf8") : ""));
console.log(`docs/conformance.md: ${found.map(({ name }) => name).join(", ")}`);
