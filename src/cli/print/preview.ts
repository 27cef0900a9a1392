// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import type { Preview } from "#policy/offline/preview.ts";
import { verdictWord } from "./explain.ts";
import { renderGrid } from "./table.ts";
import { wrap } from "./wrap.ts";

/** What would be different, for people. */
export function previewText(preview: Preview, columns?: number): string {
  const { policies, refused, flows, isolation, connections, entries } = preview;
  const out: string[] = [];
  const section = (title: string, lines: readonly string[]) => {
    if (lines.length > 0)
      out.push(styleText("bold", title), ...lines.map((line) => wrap(`  ${line}`, columns, 4)), "");
  };
  section(
    "Policies",
    policies.map(({ policy, change }) => `${change.padEnd(8)} ${policy}`),
  );
  section(
    styleText("red", "Refused, so not in force"),
    refused.map(({ why }) => why),
  );
  section("Pods", isolationLines(isolation));
  section("Recorded flows that would be judged otherwise", reasonedLines(flows.changes));
  section("Connections to services that would be judged otherwise", [
    ...changeLines(connections),
    ...rest(connections),
  ]);
  const skipped = flows.skipped === 0 ? "" : ` (${flows.skipped} of pods that are not there)`;
  out.push(
    flows.recorded === 0
      ? "no recorded flows to compare (weft observe --all -o json writes some, --flows reads them)"
      : `${flows.recorded} recorded flows${skipped}, ${flows.changes.reduce((sum, { count }) => sum + count, 0)} of them would be judged otherwise`,
    `policy map entries: ${entries.before} → ${entries.after} (${entries.after >= entries.before ? "+" : ""}${entries.after - entries.before})`,
  );
  return `${out.join("\n")}\n`;
}

/** Pods of a workload are told of together. */
function isolationLines(isolation: Preview["isolation"]): string[] {
  const alike = Map.groupBy(
    isolation,
    ({ workload, direction, change }) => `${workload}\n${change} default deny for ${direction}`,
  );
  return Array.from(alike, ([key, pods]) => {
    const [workload, what] = key.split("\n");
    return `${workload}${pods.length > 1 ? ` (${pods.length} pods)` : ""} ${what}`;
  });
}

interface Change {
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly before: "allow" | "deny";
  readonly after: "allow" | "deny";
  readonly count?: number;
}

const linesShown = 40;

/** Those of one reason together, under it. */
function reasonedLines(changes: Preview["flows"]["changes"]): string[] {
  const byReason = Map.groupBy(changes.slice(0, linesShown), ({ why }) => why);
  const lines = [...byReason].flatMap(([why, alike]) => [
    why,
    ...changeLines(alike).map((line) => `  ${line}`),
  ]);
  return [...lines, ...rest(changes)];
}

function changeLines(changes: readonly Change[]): string[] {
  const rows = changes.slice(0, linesShown).map((one) => {
    const { from, to, port, after, count } = one;
    return [verdictWord(after), `${from} → ${to} ${port}`, count === undefined ? " " : `${count}×`];
  });
  if (rows.length === 0) return [];
  const grid = { columns: ["", "", ""].map((name) => ({ name })), rows };
  return renderGrid(grid, false).split("\n").slice(1);
}

function rest(changes: readonly Change[]): string[] {
  const more = changes.length - linesShown;
  return more > 0 ? [`… and ${more} more (-o json has all)`] : [];
}
