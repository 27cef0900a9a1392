// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import type { TruthRow } from "#policy/offline/matrix.ts";
import { renderGrid } from "./table.ts";

function source(from: TruthRow["from"], name: string): string {
  if (from.node !== undefined) return `node:${from.node}`;
  return from.pod === "" && from.ip ? from.ip : `${from.namespace}/${name}`;
}

function target(row: TruthRow): string {
  const node = row.to.node === undefined ? row.to.ip : `node:${row.to.node}`;
  const name = row.via === "service" ? row.to.service : row.to.pod || node;
  const { port, protocol } = row.to;
  const where = protocol === "TCP" ? `:${port}` : protocol === "ICMP" ? " ICMP" : `:${port}/${protocol}`;
  return `${row.to.namespace ? `${row.to.namespace}/` : ""}${name}${where}`;
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

/**
 * One line a source, one numbered column a target; where these are more than fit, below each other.
 * @param columns of the terminal
 */
export function probeMatrix(rows: Iterable<TruthRow>, columns = Number.POSITIVE_INFINITY): string {
  const numbers = new Map<string, number>();
  const sources = new Map<string, Map<number, TruthRow["verdict"]>>();
  for (const row of rows) {
    const name = target(row);
    const number = numbers.get(name) ?? numbers.size;
    numbers.set(name, number);
    const from = source(row.from, row.from.workload);
    const cells = sources.get(from) ?? new Map<number, TruthRow["verdict"]>();
    sources.set(from, cells.set(number, row.verdict));
  }
  const width = Math.max(...[...sources.keys()].map((name) => name.length));
  const column = Math.max(2, String(numbers.size).length) + 1;
  const fit = Math.max(1, Math.min(numbers.size, Math.floor((columns - width) / column)));
  const all = [...numbers.values()];
  const blocks = Array.from({ length: Math.ceil(all.length / fit) }, (_, i) =>
    all.slice(i * fit, (i + 1) * fit),
  );
  const lines = blocks.flatMap((block) => [
    " ".repeat(width) + block.map((i) => String(i + 1).padStart(column)).join(""),
    ...[...sources].map(
      ([from, cells]) => from.padEnd(width) + block.map((i) => mark(cells.get(i), column)).join(""),
    ),
    "",
  ]);
  const legend = [...numbers].map(([name, i]) => `${String(i + 1).padStart(column)}  ${name}`);
  return [
    ...lines,
    ...legend,
    "",
    `${mark("allow", 0)} reached   ${mark("deny", 0)} no answer${isWhole(sources, all) ? "" : "   · not asked"}`,
  ].join("\n");
}

function isWhole(
  sources: ReadonlyMap<string, ReadonlyMap<number, unknown>>,
  all: readonly number[],
): boolean {
  return [...sources.values()].every((cells) => cells.size === all.length);
}

function mark(verdict: TruthRow["verdict"] | undefined, width: number): string {
  const text = (verdict === "allow" ? "✓" : verdict === "deny" ? "✗" : "·").padStart(width);
  return verdict === undefined ? text : styleText(verdict === "allow" ? "green" : "red", text);
}
