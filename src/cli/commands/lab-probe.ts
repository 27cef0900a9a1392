// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { probeLines, probeMatrix } from "#cli/print/probe.ts";
import { outputForm, printObject } from "#cli/print/table.ts";
import { labProbe } from "#lab/probe.ts";
import { WeftError } from "#lib/errors.ts";
import { parseQuestions } from "#model/questions.ts";

interface ProbeArguments {
  readonly namespace?: readonly string[];
  readonly pods?: boolean;
  readonly questions?: string;
  readonly timeout?: number;
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
    .option("--timeout <sec>", "how long silence is waited for (default: 1, and 1.5 again)", seconds)
    .option("-o, --output <form>", "output form: table, wide (a line each), json or yaml")
    .action(async (args: ProbeArguments) => {
      const form = outputForm(args.output);
      const questions =
        args.questions === undefined ? undefined : parseQuestions(readText(args.questions), args.questions);
      const rows = await labProbe({
        ...(args.namespace && { namespaces: args.namespace }),
        ...(args.pods && { pods: true }),
        ...(questions && { questions }),
        ...(args.timeout !== undefined && { timeoutMs: args.timeout * 1000 }),
      });
      if (form === "json" || form === "yaml") printObject(rows, form, (text) => process.stdout.write(text));
      else
        process.stdout.write(
          `${form === "wide" || questions ? probeLines(rows) : probeMatrix(rows, process.stdout.columns)}\n`,
        );
    });
}

function seconds(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value > 0 && value <= 60) return value;
  throw new WeftError("E_USAGE", `--timeout: "${text}" is not a number of seconds, at most 60`);
}

function readText(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (cause) {
    throw new WeftError("E_USAGE", `cannot read ${path}`, { cause });
  }
}
