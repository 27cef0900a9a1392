// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { styleText } from "node:util";
import { Command } from "commander";
import { outputForm, printObject, renderGrid } from "#cli/print/table.ts";
import { labProbe } from "#lab/probe.ts";
import type { ProbeRow } from "#lab/probe-attempt.ts";
import { parseQuestions } from "#lab/probe-questions.ts";
import { WeftError } from "#lib/errors.ts";

interface ProbeArguments {
  readonly namespace?: readonly string[];
  readonly pods?: boolean;
  readonly questions?: string;
  readonly output?: string;
}

export function probeCommand(): Command {
  return new Command("probe")
    .description("real connection attempts from every workload to every service port: who can reach what")
    .option(
      "-n, --namespace <name>",
      "only from and to this namespace (repeatable)",
      (value: string, list: string[] = []) => [...list, value],
    )
    .option("--pods", "also every pod behind a service by itself")
    .option("--questions <file>", "ask this list instead (JSON, - for stdin) and answer in its order")
    .option("-o, --output <form>", "output form: table, wide (a line each), json or yaml")
    .action(async (args: ProbeArguments) => {
      const form = outputForm(args.output);
      const questions =
        args.questions === undefined ? undefined : parseQuestions(readText(args.questions), args.questions);
      const rows = await labProbe({
        ...(args.namespace && { namespaces: args.namespace }),
        ...(args.pods && { pods: true }),
        ...(questions && { questions }),
      });
      if (form === "json" || form === "yaml") printObject(rows, form, (text) => process.stdout.write(text));
      else process.stdout.write(`${form === "wide" || questions ? lines(rows) : matrix(rows)}\n`);
    });
}

function readText(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (cause) {
    throw new WeftError("E_USAGE", `cannot read ${path}`, { cause });
  }
}

function target(row: ProbeRow): string {
  const name = row.via === "service" ? row.to.service : row.to.pod || row.to.ip;
  return `${row.to.namespace ? `${row.to.namespace}/` : ""}${name}:${row.to.port}${row.to.protocol === "TCP" ? "" : `/${row.to.protocol}`}`;
}

function lines(rows: readonly ProbeRow[]): string {
  const columns = ["FROM", "TO", "VIA", "VERDICT", "MS"].map((name) => ({ name }));
  return renderGrid(
    {
      columns,
      rows: rows.map((r) => [`${r.from.namespace}/${r.from.pod}`, target(r), r.via, r.verdict, r.ms]),
    },
    false,
  );
}

/** One line a source, one numbered column a target. */
function matrix(rows: readonly ProbeRow[]): string {
  const targets = [...new Set(rows.map(target))];
  const sources = new Map<string, Map<string, ProbeRow["verdict"]>>();
  for (const row of rows) {
    const from = `${row.from.namespace}/${row.from.workload}`;
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

function mark(verdict: ProbeRow["verdict"] | undefined, width: number): string {
  const text = (verdict === "allow" ? "✓" : verdict === "deny" ? "✗" : "·").padStart(width);
  return verdict === undefined ? text : styleText(verdict === "allow" ? "green" : "red", text);
}
