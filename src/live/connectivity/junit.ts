// SPDX-License-Identifier: Apache-2.0
import type { ScenarioResult } from "./run.ts";

/** Results in the JUnit XML that CI systems read. */
export function junit(results: readonly ScenarioResult[]): string {
  const count = (outcome: ScenarioResult["outcome"]) =>
    results.filter((result) => result.outcome === outcome).length;
  const totalSec = results.reduce((sum, { ms }) => sum + ms, 0) / 1000;
  const cases = results.map(({ name, outcome, ms, text = "", flows = [] }) => {
    const open = `  <testcase classname="weft.connectivity" name="${escaped(name)}" time="${(ms / 1000).toFixed(3)}"`;
    if (outcome === "passed") return `${open}/>`;
    if (outcome === "skipped") return `${open}>\n    <skipped message="${escaped(text)}"/>\n  </testcase>`;
    const seen = flows.length > 0 ? `\nflows:\n${flows.join("\n")}` : "";
    return `${open}>\n    <failure message="${escaped(text)}">${escaped(text + seen)}</failure>\n  </testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuite name="weft connectivity test" tests="${results.length}" failures="${count("failed")}" skipped="${count("skipped")}" time="${totalSec.toFixed(3)}">`,
    ...cases,
    "</testsuite>",
    "",
  ].join("\n");
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};

/** Characters XML 1.0 has no form for are left out. */
function escaped(text: string): string {
  return [...text.replace(/[&<>"]/g, (character) => entities[character]!)]
    .filter((character) => character >= " " || "\t\n\r".includes(character))
    .join("");
}
