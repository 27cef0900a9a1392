// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import { parseLabels } from "#model/labels.ts";
import type { ExplainedDirection, ExplainedPath, Explanation } from "#policy/offline/explain.ts";
import { labelWords } from "#policy/offline/text.ts";
import { wrap } from "./wrap.ts";

/** The steps of a verdict, for people. @param columns of the terminal; absent: lines stay whole */
export function explanationText(explanation: Explanation, columns?: number): string {
  const { from, to, port, verdict, notes, paths, change } = explanation;
  const several = paths.length > 1;
  const distinct = several ? mergePaths(paths) : paths.map((path) => ({ path, same: 1 }));
  return [
    `${styleText("bold", `${from} → ${to} ${port}`)}  ${verdictWord(verdict)}`,
    ...notes.map((note) => wrap(`note: ${note}`, columns, 6)),
    ...distinct.map(
      ({ path, same }) => `\n${pathLines(path, several, same).map(folded(columns)).join("\n")}`,
    ),
    ...change.map((one) => changeText(one, columns)),
    "",
  ].join("\n");
}

/** Where the text of a line of steps begins. */
const textColumn = 17;

function folded(columns: number | undefined) {
  return (line: string) => wrap(line, columns, line.startsWith("    ") ? textColumn : 6);
}

function changeText(
  { action, why, yaml }: Explanation["change"][number],
  columns: number | undefined,
): string {
  const title = styleText("bold", action === "apply" ? "To allow it, apply" : "To allow it, delete");
  return `\n${wrap(`${title} (${why}):`, columns, 2)}\n\n${yaml.trimEnd()}`;
}

/** Backends that are judged alike are told once. */
function mergePaths(paths: readonly ExplainedPath[]) {
  const byText = new Map<string, { path: ExplainedPath; same: number }>();
  for (const path of paths) {
    const { name: _name, ...end } = path.to;
    const key = JSON.stringify([
      end,
      path.verdict,
      path.egress.entry,
      path.ingress.entry,
      path.egress.reason,
      path.ingress.reason,
    ]);
    const known = byText.get(key);
    if (known) known.same++;
    else byText.set(key, { path, same: 1 });
  }
  return [...byText.values()];
}

function pathLines(
  { from, to, port, verdict, egress, ingress }: ExplainedPath,
  several: boolean,
  same: number,
): string[] {
  const more = same > 1 ? `, and ${same - 1} more like it` : "";
  const width = Math.max(from.name.length, to.name.length);
  return [
    ...(several ? [`backend ${to.name} ${port}${more}: ${verdictWord(verdict)}`] : []),
    `from  ${from.name.padEnd(width)}  ${identityWords(from)}`,
    `to    ${to.name.padEnd(width)}  ${identityWords(to)}`,
    "",
    ...directionLines(`egress of ${from.name}`, egress),
    ...directionLines(`ingress of ${to.name}`, ingress),
  ];
}

function identityWords({ identity, labels }: ExplainedPath["from"]): string {
  return styleText("dim", `identity ${identity}  ${labelWords(parseLabels(labels))}`);
}

function directionLines(title: string, side: ExplainedDirection): string[] {
  const lines = [`${mark(side.verdict)} ${title}: ${side.text}`];
  if (side.selectedBy.length > 0) lines.push(`    selected by  ${side.selectedBy.join(", ")}`);
  if (side.entry) lines.push(`    entry        ${side.entry.text}`);
  for (const { rule, says, decides, why } of side.considered) {
    lines.push(
      `    ${decides ? "decided     " : "considered  "} ${rule}: ${says}${why === undefined ? "" : `: ${why}`}`,
    );
  }
  return lines;
}

function mark(verdict: "allow" | "deny"): string {
  return verdict === "allow" ? styleText("green", "✓") : styleText("red", "✗");
}

export function verdictWord(verdict: "allow" | "deny"): string {
  return verdict === "allow" ? styleText("green", "ALLOWED") : styleText("red", "DENIED");
}
