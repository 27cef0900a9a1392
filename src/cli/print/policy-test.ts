// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";

/** One case of a test file with its outcome. */
export interface CaseResult {
  readonly file: string;
  readonly line: number;
  readonly name: string;
  readonly outcome: "ok" | "not ok" | "skipped";
  /** Why it failed or was skipped, first line the short of it. */
  readonly details: readonly string[];
  readonly ms: number;
}

/** TAP, version 14. */
export function tapText(results: readonly CaseResult[]): string {
  const lines = ["TAP version 14", `1..${results.length}`];
  for (const [i, { outcome, name, details, file, line }] of results.entries()) {
    const skip = outcome === "skipped" ? ` # SKIP ${details[0] ?? ""}` : "";
    const word = outcome === "not ok" ? styleText("red", "not ok") : styleText("green", "ok");
    lines.push(`${word} ${i + 1} - ${name.replaceAll("#", "\\#")}${skip}`);
    if (outcome === "not ok")
      lines.push(`  # ${file}:${line}`, ...details.map((one) => `  # ${one}`.trimEnd()));
  }
  const count = (outcome: CaseResult["outcome"]) => results.filter((one) => one.outcome === outcome).length;
  const skipped = count("skipped") === 0 ? "" : `, ${count("skipped")} skipped`;
  lines.push(`# ${count("ok")} passed, ${count("not ok")} failed${skipped}`);
  return `${lines.join("\n")}\n`;
}

/** JUnit's XML as CI systems read it: a suite a file. */
export function junitText(results: readonly CaseResult[]): string {
  const suites = Map.groupBy(results, ({ file }) => file);
  const out = ['<?xml version="1.0" encoding="UTF-8"?>', `<testsuites ${counts(results)}>`];
  for (const [file, cases] of suites) {
    out.push(`  <testsuite name="${escapeXml(file)}" ${counts(cases)}>`);
    for (const one of cases) out.push(...testCase(one));
    out.push("  </testsuite>");
  }
  return `${[...out, "</testsuites>"].join("\n")}\n`;
}

function counts(results: readonly CaseResult[]): string {
  const failed = results.filter(({ outcome }) => outcome === "not ok").length;
  const skipped = results.filter(({ outcome }) => outcome === "skipped").length;
  return `tests="${results.length}" failures="${failed}" errors="0" skipped="${skipped}" time="${seconds(results)}"`;
}

function seconds(results: readonly CaseResult[]): string {
  return (results.reduce((sum, { ms }) => sum + ms, 0) / 1000).toFixed(3);
}

function testCase(one: CaseResult): string[] {
  const head = `    <testcase name="${escapeXml(one.name)}" classname="${escapeXml(one.file)}" file="${escapeXml(one.file)}" line="${one.line}" time="${seconds([one])}"`;
  if (one.outcome === "ok") return [`${head}/>`];
  const message = escapeXml(one.details[0] ?? "");
  if (one.outcome === "skipped")
    return [`${head}>`, `      <skipped message="${message}"/>`, "    </testcase>"];
  const text = escapeXml(one.details.join("\n"));
  return [`${head}>`, `      <failure message="${message}">${text}</failure>`, "    </testcase>"];
}

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** XML 1.0 has no place for most control characters. */
function escapeXml(text: string): string {
  const visible = [...text].filter((one) => one >= " " || one === "\n" || one === "\t").join("");
  return visible.replace(/[&<>"]/g, (one) => entities[one]!);
}
