// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import type { TruthRow } from "#policy/offline/matrix.ts";
import { renderGrid } from "./table.ts";

function source(from: TruthRow["from"], name: string): string {
  return from.pod === "" && from.ip ? from.ip : `${from.namespace}/${name}`;
}

function target(row: TruthRow): string {
  const name = row.via === "service" ? row.to.service : row.to.pod || row.to.ip;
  return `${row.to.namespace ? `${row.to.namespace}/` : ""}${name}:${row.to.port}${row.to.protocol === "TCP" ? "" : `/${row.to.protocol}`}`;
}

/** A line each. */
export function probeLines(rows: readonly TruthRow[]): string {
  const columns = ["FROM", "TO", "VIA", "VERDICT", "MS"].map((name) => ({ name }));
  return renderGrid(
    {
      columns,
      rows: rows.map((r) => [source(r.from, r.from.pod), target(r), r.via, r.verdict, r.ms]),
    },
    false,
  );
}

/** One line a source, one numbered column a target. */
export function probeMatrix(rows: readonly TruthRow[]): string {
  const targets = [...new Set(rows.map(target))];
  const sources = new Map<string, Map<string, TruthRow["verdict"]>>();
  for (const row of rows) {
    const from = source(row.from, row.from.workload);
    let cells = sources.get(from);
    if (!cells) {
      cells = new Map();
      sources.set(from, cells);
    }
    cells.set(target(row), row.verdict);
  }
  const width = Math.max(...[...sources.keys()].map((name) => name.length));
  const column = Math.max(2, String(targets.length).length) + 1;
  const head = targets.map((_, i) => String(i + 1).padStart(column)).join("");
  const body = [...sources].map(
    ([from, cells]) => from.padEnd(width) + targets.map((t) => mark(cells.get(t), column)).join(""),
  );
  const legend = targets.map((t, i) => `${String(i + 1).padStart(column)}  ${t}`);
  return [
    " ".repeat(width) + head,
    ...body,
    "",
    ...legend,
    "",
    `${mark("allow", 0)} reached   ${mark("deny", 0)} no answer`,
  ].join("\n");
}

function mark(verdict: TruthRow["verdict"] | undefined, width: number): string {
  const text = (verdict === "allow" ? "✓" : verdict === "deny" ? "✗" : "·").padStart(width);
  return verdict === undefined ? text : styleText(verdict === "allow" ? "green" : "red", text);
}
