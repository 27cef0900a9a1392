// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { type SettingsArguments, withSettings } from "#cli/cluster-settings.ts";
import { measure } from "#cli/measure.ts";
import { collect, fileCluster, refusals } from "#cli/offline-cluster.ts";
import { probeLines, probeMatrix } from "#cli/print/probe.ts";
import { outputForm, printList, printObject } from "#cli/print/table.ts";
import { WeftError } from "#lib/errors.ts";
import { isAddress, parseAddress } from "#model/ip.ts";
import { parsePort } from "#model/port.ts";
import { parseQuestions } from "#model/questions.ts";
import { createJudge } from "#policy/offline/judge.ts";
import {
  type MatrixOptions,
  type Truth,
  type TruthRow,
  truthOfQuestions,
  truths,
} from "#policy/offline/matrix.ts";

const manual = `
Examples:
  weft policy matrix -f k8s/                                  every workload to every service port
  weft policy matrix -f k8s/ --port 80/TCP --port 53/UDP      every pod to these ports of every pod
  weft policy matrix -f k8s/ --port 443/TCP --external 203.0.113.7   also from and to an address outside
  weft policy matrix -f k8s/ --questions asked.json -o json   a list of {"from", "to", "port", "protocol"}
  weft policy matrix -f k8s/ --lab                            the same measured in the running lab, and the differences

It needs neither a cluster nor root, but for --lab. With --lab the exit code is 1 when something differs.
`;

interface MatrixArguments extends SettingsArguments {
  readonly filename: readonly string[];
  readonly namespace?: readonly string[];
  readonly port?: readonly string[];
  readonly external?: readonly string[];
  readonly pods?: boolean;
  readonly nodes?: boolean;
  readonly questions?: string;
  readonly lab?: boolean;
  readonly output?: string;
}

export function matrixCommand(): Command {
  const command = new Command("matrix")
    .description("who can reach what by the policies of manifests: no cluster, nothing is sent")
    .requiredOption("-f, --filename <path>", "manifest file or directory, - for stdin (repeatable)", collect)
    .option("-n, --namespace <name>", "only from and to this namespace (repeatable)", collect)
    .option(
      "--port <port>",
      "this port of every pod, as 80/TCP or ICMP, not the services' (repeatable)",
      collect,
    )
    .option(
      "--external <address>",
      "an address outside the cluster, as source and as target (repeatable)",
      collect,
    )
    .option("--pods", "also every pod behind a service by itself")
    .option("--nodes", "also the nodes, as sources and, with --port, as targets")
    .option("--questions <file>", "answer this list instead (JSON, - for stdin), in its order")
    .option("--lab", "measure the same in the running lab, and tell what differs")
    .option("-o, --output <form>", "output form: table, wide (a line each), json or yaml");
  return withSettings(command).addHelpText("after", manual).action(runMatrix);
}

async function runMatrix(args: MatrixArguments): Promise<void> {
  const form = outputForm(args.output);
  const { namespace: _shown, ...settings } = args;
  const cluster = fileCluster(args.filename, settings);
  for (const line of refusals(cluster)) process.stderr.write(`weft: ${line}\n`);
  const judge = createJudge(cluster);
  const asked =
    args.questions === undefined
      ? truths(judge, matrixOptions(args))
      : truthOfQuestions(judge, parseQuestions(readText(args.questions), args.questions));
  if (args.lab) await compare([...asked], form);
  else if (form === "json" || form === "yaml") await printList(rowsOf(asked), form, process.stdout);
  else printRows([...rowsOf(asked)], form === "wide" || args.questions !== undefined);
}

function* rowsOf(asked: Iterable<Truth>): Generator<TruthRow> {
  for (const { row } of asked) yield row;
}

function printRows(rows: readonly TruthRow[], each: boolean): void {
  if (rows.length === 0)
    process.stdout.write("Nobody to ask about: there are no services; --port asks about pods.\n");
  else process.stdout.write(`${each ? probeLines(rows) : probeMatrix(rows, process.stdout.columns)}\n`);
}

function matrixOptions({ namespace, pods, nodes, port, external }: MatrixArguments): MatrixOptions {
  return {
    ...(namespace && { namespaces: namespace }),
    ...(pods && { pods }),
    ...(nodes && { nodes }),
    ...(port && { ports: port.map(parsePort) }),
    ...(external && { externals: external.map(outsideAddress) }),
  };
}

function outsideAddress(text: string) {
  if (isAddress(text)) return parseAddress(text);
  throw new WeftError("E_USAGE", `--external ${text} is not an IP address`);
}

function readText(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (cause) {
    throw new WeftError("E_USAGE", `cannot read ${path}`, { cause });
  }
}

/** The measured rows, then how they differ from what the policies say. */
async function compare(truths: readonly Truth[], form: string): Promise<void> {
  const { rows, differing, unmeasured } = await measure(truths);
  const write = (text: string) => process.stdout.write(text);
  if (form === "json" || form === "yaml") printObject(rows, form, write);
  else if (form === "wide") write(`${probeLines(rows)}\n`);
  else write(`${probeMatrix(rows, process.stdout.columns)}\n`);
  for (const { row, measured } of differing)
    process.stderr.write(`weft: differs: ${probeLines([row]).split("\n")[1]}: measured ${measured}\n`);
  const not = unmeasured === 0 ? "" : `, ${unmeasured} cannot be measured`;
  process.stderr.write(
    `${rows.length} measured${not}, ${differing.length} differ from what the policies say\n`,
  );
  if (differing.length > 0) process.exitCode = 1;
}
