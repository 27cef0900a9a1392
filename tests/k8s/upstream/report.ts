// SPDX-License-Identifier: Apache-2.0
import { KUBERNETES_VERSION } from "../cluster/shape.ts";
import type { SpecResult } from "./junit.ts";
import { clusterText, type Suite, suites } from "./suites.ts";

export type SuiteResults = ReadonlyMap<Suite, readonly SpecResult[]>;

/**
 * `docs/conformance.md` of what the suites gave; of suites that did not run now, what `before`, the page as it was, says of them. The same
 * results give the same text.
 */
export function conformanceDocument(results: SuiteResults, before = ""): string {
  const parts = suites.flatMap((suite) => {
    const ran = results.get(suite);
    return ran ? { sum: sum(suite, ran), section: section(suite, ran) } : (kept(suite, before) ?? []);
  });
  const sums = parts.map((part) => part.sum);
  const sections = parts.map((part) => part.section);
  return [
    "# Conformance",
    "",
    `The networking specs of Kubernetes ${KUBERNETES_VERSION}'s own end-to-end tests, on clusters without kube-proxy whose network is Weft, installed from its image.`,
    "No run tries a spec twice. `npm run test:kubernetes` runs them; this page is written from its JUnit files.",
    "",
    "| suite | cluster | passed | failed | skipped |",
    "|---|---|---|---|---|",
    ...sums,
    "",
    ...sections,
  ].join("\n");
}

function sum(suite: Suite, results: readonly SpecResult[]): string {
  return `| ${suite.title} | ${clusterText(suite.cluster)} | ${counts(results).join(" | ")} |`;
}

function kept(
  { title }: Suite,
  page: string,
): { readonly sum: string; readonly section: string } | undefined {
  const line = page.split("\n").find((text) => text.startsWith(`| ${title} |`));
  const [, own] = page.split(`\n## ${title}\n`);
  return line && own
    ? { sum: line, section: `## ${title}\n${own.split("\n## ")[0]!.trimEnd()}\n` }
    : undefined;
}

function counts(results: readonly SpecResult[]): number[] {
  return (["passed", "failed", "skipped"] as const).map(
    (status) => results.filter((result) => result.status === status).length,
  );
}

function section(suite: Suite, results: readonly SpecResult[]): string {
  const rows = [...results]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((result) => `| ${cell(shortName(result.name))} | ${result.status} | ${cell(note(result))} |`);
  return [`## ${suite.title}`, "", "| spec | result | reason |", "|---|---|---|", ...rows, ""].join("\n");
}

/** Without what every spec of the page has. */
function shortName(name: string): string {
  return name.replace(/^\[sig-network\] /, "").replace(/ \[Conformance\]| \[NodeConformance\]/g, "");
}

/** A failure's text has addresses and times in it: the log has it, the page does not. */
function note({ status, message }: SpecResult): string {
  if (status !== "skipped") return "";
  return message.split("\n")[0]!.trim() || "not of this cluster";
}

const cell = (text: string) => text.replaceAll("|", "\\|");
