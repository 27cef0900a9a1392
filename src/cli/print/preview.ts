// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import type { Preview } from "#policy/offline/preview.ts";
import { verdictWord } from "./explain.ts";
import { renderGrid } from "./table.ts";

/** What would be different, for people. */
export function previewText(preview: Preview): string {
  const { policies, refused, flows, isolation, connections, entries } = preview;
  const out: string[] = [];
  const section = (title: string, lines: readonly string[]) => {
    if (lines.length > 0) out.push(styleText("bold", title), ...lines.map((line) => `  ${line}`), "");
  };
  section(
    "Policies",
    policies.map(({ policy, change }) => `${change.padEnd(8)} ${policy}`),
  );
  section(
    styleText("red", "Refused, so not in force"),
    refused.map(({ why }) => why),
  );
  section(
    "Pods",
    isolation.map(({ pod, direction, change }) => `${pod} ${change} default deny for ${direction}`),
  );
  section(
    "Recorded flows that would be judged otherwise",
    changeLines(flows.changes, (one) => one.why),
  );
  section("Connections to services that would be judged otherwise", changeLines(connections));
  const skipped = flows.skipped === 0 ? "" : ` (${flows.skipped} of pods that are not there)`;
  out.push(
    flows.recorded === 0
      ? "no flows were recorded"
      : `${flows.recorded} recorded flows${skipped}, ${flows.changes.reduce((sum, { count }) => sum + count, 0)} of them would be judged otherwise`,
    `policy map entries: ${entries.before} → ${entries.after} (${entries.after >= entries.before ? "+" : ""}${entries.after - entries.before})`,
  );
  return `${out.join("\n")}\n`;
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

function changeLines<C extends Change>(changes: readonly C[], why: (one: C) => string = () => ""): string[] {
  const rows = changes.slice(0, linesShown).map((one) => {
    const { from, to, port, after, count } = one;
    return [
      verdictWord(after),
      `${from} → ${to} ${port}`,
      count === undefined ? "" : `${count}×`,
      why(one),
    ].map((cell) => cell || " ");
  });
  if (rows.length === 0) return [];
  const grid = { columns: ["", "", "", ""].map((name) => ({ name })), rows };
  const lines = renderGrid(grid, false).split("\n").slice(1);
  const more = changes.length - linesShown;
  return more > 0 ? [...lines, `… and ${more} more (-o json has all)`] : lines;
}
