// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import type { AgentChoice } from "#cli/agents.ts";
import { gatherGrid } from "#cli/gather.ts";
import { type Grid, outputForm, printGrid } from "#cli/print/table.ts";
import { type ClusterChoice, withKubeconfig } from "#cli/target.ts";
import { WeftError } from "#lib/errors.ts";

export interface InspectOptions extends AgentChoice, ClusterChoice {
  readonly output?: string;
  readonly namespace?: string;
}

/** Options every looking command shares. */
export function withAgentOptions(command: Command): Command {
  return withKubeconfig(
    command
      .option("-o, --output <form>", "output form: table, wide, json or yaml")
      .option("--node <name>", "only this node's agent")
      .option("--agent <socket>", "socket of one agent on this machine"),
  );
}

async function show(
  path: string,
  options: InspectOptions,
  keep: (row: Grid) => Grid = (grid) => grid,
): Promise<void> {
  const form = outputForm(options.output);
  const grid = keep(await gatherGrid(options, path, AbortSignal.timeout(60_000)));
  printGrid(grid, form, (text) => process.stdout.write(text));
}

/** Rows of which the named column has the value. */
export function where(grid: Grid, column: string, value: string): Grid {
  const at = grid.columns.findIndex((c) => c.name === column);
  return { columns: grid.columns, rows: grid.rows.filter((row) => String(row[at]) === value) };
}

export function listCommand(name: string, description: string, table: string, merge = false): Command {
  const list = withAgentOptions(new Command("list").alias("ls").description(description)).option(
    "-n, --namespace <name>",
    "only this namespace",
  );
  list.action((options: InspectOptions) =>
    show(`/v1/db/${table}`, { ...options, merge }, (grid) =>
      options.namespace ? where(grid, "NAMESPACE", options.namespace) : grid,
    ),
  );
  return new Command(name).description(description).addCommand(list);
}

export function endpointCommand(): Command {
  const get = withAgentOptions(
    new Command("get").description("show one endpoint").argument("<id|namespace/pod>"),
  );
  get.action(async (which: string, options: InspectOptions) => {
    await show("/v1/db/endpoints", { ...options, output: options.output ?? "yaml" }, (grid) => {
      const found = findEndpoint(grid, which);
      if (found.rows.length === 0) throw new WeftError("E_NOT_FOUND", `no endpoint "${which}"`);
      return found;
    });
  });
  return listCommand("endpoint", "pods attached to the datapath", "endpoints").addCommand(get);
}

/** By number, by `namespace/pod`, or by the name of the pod's workload. */
function findEndpoint(grid: Grid, which: string): Grid {
  const slash = which.indexOf("/");
  if (slash < 0) return where(grid, "ID", which);
  const here = where(grid, "NAMESPACE", which.slice(0, slash));
  const pod = which.slice(slash + 1);
  const exact = where(here, "POD", pod);
  if (exact.rows.length > 0) return exact;
  const at = grid.columns.findIndex((column) => column.name === "POD");
  return { columns: here.columns, rows: here.rows.filter((row) => String(row[at]).startsWith(`${pod}-`)) };
}

export function identityCommand(): Command {
  return listCommand("identity", "identities and their labels", "identities", true);
}

export function egressCommand(): Command {
  return listCommand("egress", "pods that leave the cluster by a gateway", "egress");
}

const maps = [
  "policy",
  "ct",
  "ipcache",
  "blocks",
  "egress",
  "masquerade",
  "lb",
  "l2",
  "endpoints",
  "nat",
  "prefilter",
  "metrics",
];

export function bpfCommand(): Command {
  const bpf = new Command("bpf").description("what the kernel's maps hold, and what they take");
  const all = withAgentOptions(new Command("list").description("every map: its room and kernel memory"));
  all.action((options: InspectOptions) => show("/v1/bpf/maps", options));
  bpf.addCommand(new Command("maps").description("the maps themselves").addCommand(all));
  for (const map of maps) {
    const list = withAgentOptions(new Command("list").description(`entries of the ${map} map`));
    list.action((options: InspectOptions) => show(`/v1/bpf/${map}`, options));
    bpf.addCommand(new Command(map).description(`the ${map} map`).addCommand(list));
  }
  return bpf;
}

export function dbCommand(): Command {
  const show_ = withAgentOptions(
    new Command("show").description("rows of a table of the running agents").argument("<table>"),
  );
  show_.action((table: string, options: InspectOptions) =>
    show(`/v1/db/${encodeURIComponent(table)}`, options),
  );
  const list = withAgentOptions(new Command("list").alias("ls").description("the tables there are"));
  list.action((options: InspectOptions) => show("/v1/tables", options));
  return new Command("db").description("tables of the running agents").addCommand(show_).addCommand(list);
}
