// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { text as readAll } from "node:stream/consumers";
import { Command } from "commander";
import { agentPost } from "#agent/api-client.ts";
import type { AgentChoice } from "#cli/agents.ts";
import { gatherGrid } from "#cli/gather.ts";
import { outputForm, printGrid, printObject } from "#cli/print/table.ts";
import { type ClusterChoice, chooseTarget } from "#cli/target.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { askAgents } from "#live/ask-all.ts";
import type { Prefix } from "#model/ip.ts";
import type { PrefilterChange, PrefilterResult } from "#prefilter/change.ts";
import { parseCidr, parseCidrList } from "#prefilter/cidrs.ts";
import { withAgentOptions } from "./inspect.ts";

interface ChangeOptions extends AgentChoice, ClusterChoice {
  readonly output?: string;
  readonly file?: string;
  readonly comment?: string;
  readonly force?: boolean;
  readonly ignoreNotFound?: boolean;
}

type Op = PrefilterChange["op"];

const write = (text: string) => process.stdout.write(text);

/** `weft prefilter`: sources whose packets end at the node's device, before anything else looks at them. */
export function prefilterCommand(): Command {
  const list = withAgentOptions(
    new Command("list").alias("ls").description("denied CIDRs, and what each has dropped on this node"),
  );
  list.action(async (options: AgentChoice & ClusterChoice & { readonly output?: string }) => {
    const form = outputForm(options.output);
    printGrid(await gatherGrid(options, "/v1/view/prefilter", AbortSignal.timeout(60_000)), form, write);
  });
  const add = changeCommand("add", "deny CIDRs or addresses, all of them or none", "[cidr...]")
    .option("-f, --file <file>", "take them from a file, one a line; -: from standard input")
    .option("--comment <text>", "noted beside each: why, or until when");
  const replace = changeCommand(
    "replace",
    "deny what a file says and nothing else, in one step",
  ).requiredOption("-f, --file <file>", "the whole list, one a line; -: from standard input");
  const remove = changeCommand("delete", "deny them no more, all of them or none", "[cidr...]")
    .option("-f, --file <file>", "take them from a file, one a line; -: from standard input")
    .option("--ignore-not-found", "pass over what is not on the list");
  return new Command("prefilter")
    .description("deny sources at the node's device, before everything else")
    .addCommand(list)
    .addCommand(add)
    .addCommand(remove)
    .addCommand(replace.option("--comment <text>", "noted beside those that are new"))
    .addCommand(changeCommand("flush", "deny nothing"));
}

function changeCommand(op: Op, description: string, argument?: string): Command {
  const command = new Command(op).description(description);
  if (argument !== undefined) command.argument(argument);
  if (op === "add" || op === "replace")
    command.option("--force", "even if it cuts off this node, others, the API server or yourself");
  return withAgentOptions(command).action(async (...given: unknown[]) => {
    const words = argument === undefined ? [] : (given[0] as string[]);
    await change(op, words, given[argument === undefined ? 0 : 1] as ChangeOptions);
  });
}

async function change(op: Op, words: readonly string[], options: ChangeOptions): Promise<void> {
  const form = outputForm(options.output);
  const cidrs = [...words.map(parseCidr), ...(await cidrsOfFile(options.file))];
  if (cidrs.length === 0 && (op === "add" || op === "delete"))
    throw new WeftError("E_USAGE", `nothing to ${op}`, { hint: "name CIDRs, or a file with -f" });
  const { comment, force, ignoreNotFound } = options;
  const client = process.env["SSH_CONNECTION"]?.split(" ")[0];
  const body: PrefilterChange = {
    op,
    cidrs,
    ...(comment !== undefined && { comment }),
    ...(force !== undefined && { force }),
    ...(ignoreNotFound !== undefined && { ignoreNotFound }),
    ...(client !== undefined && { client }),
  };
  const results = await askAll(options, body);
  const refused = results.filter(({ error }) => error !== undefined);
  if (refused.length === results.length && refused[0]) throw refused[0].error;
  for (const { node, error } of refused) process.stderr.write(`weft: node ${node}: ${errorText(error)}\n`);
  if (refused.length > 0) process.exitCode = 1;
  const done = results.flatMap(({ node, result }) => (result ? [{ node, ...result }] : []));
  if (form === "json" || form === "yaml") printObject(done, form, write);
  else for (const one of done) write(resultText(op, one));
}

interface NodeResult {
  readonly node: string;
  readonly result?: PrefilterResult;
  readonly error?: unknown;
}

const path = "/v1/prefilter";
const waitMs = 60_000;

async function askAll(options: ChangeOptions, body: PrefilterChange): Promise<NodeResult[]> {
  const signal = AbortSignal.timeout(waitMs);
  const target = await chooseTarget(options);
  if (target.kind === "cluster") {
    using client = target.client;
    const answers = await askAgents<PrefilterResult>(client, { path, body, node: options.node, signal });
    return answers.map(({ node, body: result, error }) => ({
      node,
      ...(error ? { error } : { result: result! }),
    }));
  }
  return await Promise.all(
    target.agents.map(async ({ node, socket }): Promise<NodeResult> => {
      try {
        return { node, result: await agentPost<PrefilterResult>(socket, { path, body }, signal) };
      } catch (error) {
        return { node, error };
      }
    }),
  );
}

/** `n1: 2 added, 1 there already; 14 CIDRs denied`. */
function resultText(op: Op, result: PrefilterResult & { readonly node: string }): string {
  const { node, added, removed, unchanged, total, warnings } = result;
  const said = [
    ...(op === "add" || op === "replace" ? [`${added} added`] : []),
    ...(op === "add" ? [] : [`${removed} deleted`]),
    ...(unchanged > 0 ? [`${unchanged} there already`] : []),
  ].join(", ");
  const forced = warnings.map((warning) => `  forced: cuts off ${warning}\n`).join("");
  return `${node === "" ? "" : `${node}: `}${said}; ${total} ${total === 1 ? "CIDR" : "CIDRs"} denied\n${forced}`;
}

async function cidrsOfFile(file: string | undefined): Promise<Prefix[]> {
  if (file === undefined) return [];
  if (file === "-") return parseCidrList(await readAll(process.stdin), "standard input");
  try {
    return parseCidrList(readFileSync(file, "utf8"), file);
  } catch (cause) {
    if (cause instanceof WeftError) throw cause;
    throw new WeftError("E_FILE", `${file} can't be read`, { cause });
  }
}
