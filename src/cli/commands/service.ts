// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import type { AgentChoice } from "#cli/agents.ts";
import { gatherGrid } from "#cli/gather.ts";
import { type Grid, outputForm, printGrid } from "#cli/print/table.ts";
import { frontendsOf, targetOf, traceText } from "#cli/service-trace.ts";
import type { ClusterChoice } from "#cli/target.ts";
import { WeftError } from "#lib/errors.ts";
import { listCommand, withAgentOptions } from "./inspect.ts";

interface ServiceOptions extends AgentChoice, ClusterChoice {
  readonly output?: string;
  readonly from?: string;
}

const view = "/v1/view/service-backends";
const write = (text: string) => process.stdout.write(text);
const ask = (options: ServiceOptions, path: string) => gatherGrid(options, path, AbortSignal.timeout(60_000));

export function serviceCommand(): Command {
  const get = withAgentOptions(
    new Command("get")
      .description("every backend of a service: its state, its share, and why one is not used")
      .argument("<namespace/name>"),
  );
  get.action(async (which: string, options: ServiceOptions) => {
    const grid = await ask({ ...options, merge: true }, view);
    const at = columnOf(grid, "SERVICE");
    const rows = grid.rows.filter((row) => row[at] === which);
    if (rows.length === 0)
      throw new WeftError("E_NOT_FOUND", `no service "${which}" is served`, {
        hint: "`weft service list` shows those that are; headless ones have no address to serve",
      });
    const shown = withAnnouncers({ columns: grid.columns, rows }, await announcements(options));
    printGrid(shown, outputForm(options.output), write);
    const problems = new Set(rows.map((row) => String(row[columnOf(grid, "PROBLEMS")] ?? "")));
    for (const problem of problems) if (problem !== "") process.stderr.write(`problem: ${problem}\n`);
  });
  const trace = withAgentOptions(
    new Command("trace")
      .description("which backends a connection may get, by which rule and through which path")
      .argument("<address:port[/protocol] | namespace/name[:port]>")
      .option("--from <namespace/pod>", "the pod that asks; absent: somebody outside the cluster"),
  );
  trace.action(async (text: string, options: ServiceOptions) => {
    const target = targetOf(text);
    const node = options.from === undefined ? options.node : await nodeOf(options.from, options);
    const grid = await ask({ ...options, ...(node && { node }) }, view);
    const announced = options.from === undefined ? await announcements(options) : new Map<string, string>();
    const texts = frontendsOf(grid, target).map((frontend) => {
      const by = announced.get(addressOf(frontend));
      const { shown, one } = ofOneNode(grid, frontend, by);
      const asker = { ...(options.from && { pod: options.from }), ...(by && { announced: by }) };
      return traceText(shown, frontend, { ...((node || one) && { node: node || one }), ...asker });
    });
    write(texts.join("\n"));
  });
  return listCommand("service", "service frontends and their backends", "frontends", true)
    .addCommand(get)
    .addCommand(trace);
}

/** Several agents: each decides for what reaches it; who answers on the wire stands for them, else one that knows the address. */
function ofOneNode(grid: Grid, frontend: string, announced: string | undefined) {
  const at = columnOf(grid, "NODE");
  if (at < 0) return { shown: grid, one: undefined };
  const know = grid.rows.filter((row) => row[columnOf(grid, "FRONTEND")] === frontend);
  const answering = know.find((row) => row[at] === announced?.split(" ")[0]) ?? know[0];
  const one = String(answering?.[at] ?? "");
  return { shown: { ...grid, rows: grid.rows.filter((row) => row[at] === one) }, one };
}

/** `n1 eth0`, by the address that is announced there; empty where the agents know of no announcements. */
async function announcements(options: ServiceOptions): Promise<ReadonlyMap<string, string>> {
  const grid = await ask(options, "/v1/db/l2-announcements").catch(() => undefined);
  if (!grid) return new Map();
  const at = (row: Grid["rows"][number], name: string) => String(row[columnOf(grid, name)] ?? "");
  const nodeOf = (row: Grid["rows"][number]) => (columnOf(grid, "NODE") < 0 ? "this node" : at(row, "NODE"));
  return new Map(grid.rows.map((row) => [at(row, "ADDRESS"), `${nodeOf(row)} ${at(row, "DEVICE")}`]));
}

/** With a column that says which node answers for the frontend's address on the wire, where one does. */
function withAnnouncers(grid: Grid, announced: ReadonlyMap<string, string>): Grid {
  const at = columnOf(grid, "FRONTEND");
  const names = grid.rows.map((row) => announced.get(addressOf(String(row[at]))) ?? "");
  if (names.every((name) => name === "")) return grid;
  return {
    columns: [...grid.columns, { name: "ANNOUNCED-BY" }],
    rows: grid.rows.map((row, i) => [...row, names[i]!]),
  };
}

/** Of a frontend's key: `[::1]:80/TCP`, `10.0.0.1:80/TCP`. */
function addressOf(frontend: string): string {
  return /^\[?([0-9a-f:.]+?)\]?:\d+\//.exec(frontend)?.[1] ?? "";
}

function columnOf(grid: Grid, name: string): number {
  return grid.columns.findIndex((column) => column.name === name);
}

/** The node whose agent has the pod, or the first pod of a workload of that name. @throws WeftError E_NOT_FOUND */
async function nodeOf(pod: string, options: ServiceOptions): Promise<string | undefined> {
  const grid = await ask(options, "/v1/db/endpoints");
  const nameOf = (row: Grid["rows"][number]) =>
    `${row[columnOf(grid, "NAMESPACE")]}/${row[columnOf(grid, "POD")]}`;
  const row =
    grid.rows.find((one) => nameOf(one) === pod) ??
    grid.rows.find((one) => nameOf(one).startsWith(`${pod}-`));
  if (!row)
    throw new WeftError("E_NOT_FOUND", `no node has a pod "${pod}"`, {
      hint: "`weft endpoint list` shows them: NAMESPACE/POD",
    });
  const at = columnOf(grid, "NODE");
  return at < 0 ? options.node : String(row[at]);
}
