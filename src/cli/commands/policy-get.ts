// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import { gatherGrid } from "#cli/gather.ts";
import { type Grid, outputForm, printGrid } from "#cli/print/table.ts";
import { WeftError } from "#lib/errors.ts";
import { policyKey } from "#policy/policy-key.ts";
import { type InspectOptions, where, withAgentOptions } from "./inspect.ts";

/** `weft policy get`: policies as the agents hold them, with what they cost and who has no room for them. */
export function policyGetCommand(): Command {
  const get = withAgentOptions(
    new Command("get")
      .description("policies as the agents hold them, and the map entries they take part in")
      .argument("[namespace/name]"),
  );
  get.action(async (which: string | undefined, options: InspectOptions) => {
    const form = outputForm(options.output);
    const ask = (table: string, merge: boolean) =>
      gatherGrid({ ...options, merge }, `/v1/db/${table}`, AbortSignal.timeout(60_000));
    const [policies, costs, refusals] = await Promise.all([
      ask("policies", true),
      ask("policy-costs", false),
      ask("policy-refusals", false),
    ]);
    const grid = withCosts(which === undefined ? policies : named(policies, which), costs, refusals);
    printGrid(grid, form, (text) => process.stdout.write(text));
  });
  return get;
}

/** By `namespace/name`, or by the name alone. */
function named(grid: Grid, which: string): Grid {
  const slash = which.indexOf("/");
  const found =
    slash < 0
      ? where(grid, "NAME", which)
      : where(where(grid, "NAMESPACE", which.slice(0, slash)), "NAME", which.slice(slash + 1));
  if (found.rows.length === 0) throw new WeftError("E_NOT_FOUND", `no policy "${which}"`);
  return found;
}

/** Entries over all nodes asked, after the status; a node that has no room for a policy is told in it. Pure. */
export function withCosts(policies: Grid, costs: Grid, refusals: Grid): Grid {
  const entries = new Map<string, number>();
  const costOf = cellsOf(costs);
  for (const row of costs.rows) {
    const policy = String(costOf(row, "POLICY"));
    entries.set(policy, (entries.get(policy) ?? 0) + Number(costOf(row, "ENTRIES")));
  }
  const refused = new Map<string, { nodes: string[]; reason: string }>();
  const refusalOf = cellsOf(refusals);
  for (const row of refusals.rows) {
    const policy = String(refusalOf(row, "POLICY"));
    const known = refused.get(policy) ?? { nodes: [], reason: String(refusalOf(row, "REASON")) };
    known.nodes.push(String(refusalOf(row, "NODE") ?? "this node"));
    refused.set(policy, known);
  }
  const cellOf = cellsOf(policies);
  const at = policies.columns.findIndex(({ name }) => name === "STATUS") + 1;
  const rows = policies.rows.map((row) => {
    const [kind = "", namespace = "", name = ""] = ["KIND", "NAMESPACE", "NAME"].map((column) =>
      String(cellOf(row, column)),
    );
    const key = policyKey({ kind, namespace, name });
    const refusal = refused.get(key);
    const told = policies.columns.map(({ name: column }, i) => {
      if (refusal && column === "STATUS") return `too large on ${refusal.nodes.join(",")}`;
      return refusal && column === "REASON" ? refusal.reason : row[i]!;
    });
    return told.toSpliced(at, 0, entries.get(key) ?? 0);
  });
  return { columns: policies.columns.toSpliced(at, 0, { name: "ENTRIES" }), rows };
}

function cellsOf({
  columns,
}: Grid): (row: Grid["rows"][number], name: string) => string | number | boolean | undefined {
  return (row, name) => row[columns.findIndex((column) => column.name === name)];
}
