// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import { Command, Option } from "commander";
import { observe } from "#cli/observe-run.ts";
import { annotateSource, checkPolicyFiles } from "#cli/policy-files.ts";
import { mergeValues, parseSet } from "#install/values-merge.ts";
import type { Families, Routing } from "#lab/layout.ts";
import { MAX_NODES, statePaths } from "#lab/layout.ts";
import { labUp, labUpDetached, type UpDeps, type UpOptions } from "#lab/up.ts";
import { aborted } from "#lib/clock.ts";
import { WeftError } from "#lib/errors.ts";
import { createLogger } from "#lib/log.ts";
import { printLab } from "../print/lab.ts";
import { labProgress } from "../print/lab-progress.ts";

interface UpArguments {
  readonly nodes: number;
  readonly routing: Routing;
  readonly families: Families;
  readonly filename?: readonly string[];
  readonly imageMap?: string;
  readonly set?: readonly string[];
  readonly timeout: number;
  readonly detach?: boolean;
  readonly quiet?: boolean;
}

/** Starts what runs beside the nodes; given by the composition root, which may see all rooms. */
export type StartServices = NonNullable<UpDeps["startServices"]>;

export function upCommand(startServices: StartServices): Command {
  return new Command("up")
    .description("bring up a lab, apply manifests, and show its flows until Ctrl-C takes it down")
    .option("--nodes <n>", "how many nodes", wholeNumber, 3)
    .addOption(
      new Option("--routing <mode>", "how pods of different nodes meet")
        .choices(["tunnel", "native"])
        .default("tunnel"),
    )
    .addOption(
      new Option("--families <families>", "address families of the pods")
        .choices(["v4", "v6", "dual"])
        .default("v4"),
    )
    .option("-f, --filename <path>", "manifest file or directory to apply (repeatable)", collect)
    .option("--image-map <file>", "which local command or root directory plays an image (YAML)")
    .option(
      "--set <setting=value>",
      "a setting of the agents, as policy.audit=true: those of config.* of the chart (repeatable)",
      collect,
    )
    .option("--timeout <sec>", "how long to wait for all pods", wholeNumber, 120)
    .option("-d, --detach", "leave the lab running and return")
    .option("-q, --quiet", "no flows, only the tables")
    .action((args: UpArguments) => up(args, startServices));
}

async function up(args: UpArguments, startServices: StartServices): Promise<void> {
  if (args.nodes < 1 || args.nodes > MAX_NODES)
    throw new WeftError("E_USAGE", `--nodes: a lab has 1 to ${MAX_NODES} nodes, not ${args.nodes}`);
  const files = args.filename ?? [];
  checkPolicyFiles(files);
  const stop = new AbortController();
  const interrupt = () => stop.abort(new WeftError("E_STOPPED", "interrupted"));
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, interrupt);
  // Who reads us has gone (`… | tee` and Ctrl-C): other commands just end then, a lab has to be taken down first.
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeAllListeners("error");
    stream.on("error", interrupt);
  }
  const { signal } = stop;
  const progress = labProgress(process.stderr);
  const options: UpOptions = {
    shape: { nodes: args.nodes, routing: args.routing, families: args.families },
    files,
    timeoutMs: args.timeout * 1000,
    ...(args.imageMap && { imageMap: args.imageMap }),
    ...(args.set && { settings: args.set.map(parseSet).reduce(mergeValues) }),
  };
  if (args.detach) {
    await labUpDetached(options, { signal, ...progress });
    await printLab(signal);
    process.stderr.write(
      "\nThe lab runs. `weft observe -f` shows its flows, `weft lab down` takes it down.\n",
    );
    return;
  }
  const log = createLogger("lab", process.env["WEFT_LOG"] ?? "error");
  const lab = await labUp(options, { log, signal, startServices, annotate: annotateSource, ...progress });
  try {
    await printLab(signal);
    if (!args.quiet) await showFlows(signal);
    else await aborted(signal);
  } finally {
    process.stderr.write("\nTaking the lab down… ");
    await lab[Symbol.asyncDispose]();
    process.stderr.write("done.\n");
  }
  process.exit();
}

async function showFlows(signal: AbortSignal): Promise<void> {
  process.stderr.write(`\n${styleText("bold", "Flows")} (Ctrl-C takes the lab down)\n`);
  const color = process.stdout.isTTY && !process.env["NO_COLOR"];
  const io = { stdout: process.stdout, stderr: process.stderr, signal, now: Date.now };
  try {
    await observe({ server: `unix://${statePaths.observer}`, follow: true, last: 5, print: { color } }, io);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function collect(value: string, list: readonly string[] = []): string[] {
  return [...list, value];
}

function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new WeftError("E_USAGE", `"${text}" is not a whole number`);
  return Number(text);
}
