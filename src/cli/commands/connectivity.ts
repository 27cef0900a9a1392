// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { styleText } from "node:util";
import { Command } from "commander";
import { outputForm, printObject } from "#cli/print/table.ts";
import { type ClusterChoice, clusterClient, withKubeconfig } from "#cli/target.ts";
import { WeftError } from "#lib/errors.ts";
import { junit } from "#live/connectivity/junit.ts";
import { removeOldRuns } from "#live/connectivity/place.ts";
import { chooseScenarios, runConnectivityTest, type ScenarioResult } from "#live/connectivity/run.ts";
import { scenarios } from "#live/connectivity/scenarios.ts";

interface TestOptions extends ClusterChoice {
  readonly only?: readonly string[];
  readonly image?: string;
  readonly keep?: boolean;
  readonly timeout: number;
  readonly output?: string;
  readonly junit?: string;
}

/** `weft connectivity`: tries a cluster's network with pods of its own. */
export function connectivityCommand(): Command {
  return new Command("connectivity")
    .description("try a cluster's network with pods of its own")
    .addCommand(testCommand())
    .addCommand(listCommand())
    .addCommand(cleanupCommand());
}

function testCommand(): Command {
  const command = new Command("test").description("run the scenarios; exit code 1 when one fails");
  return withKubeconfig(command)
    .option("--only <name>", "only scenarios whose name contains this (repeatable)", collect)
    .option("--image <reference>", "image of the pods (default: the agents')")
    .option("--keep", "leave namespace and pods there")
    .option("--timeout <sec>", "give up after so long", seconds, 600)
    .option("-o, --output <form>", "table, json or yaml")
    .option("--junit <file>", "write the results as JUnit XML too")
    .action(runTest);
}

async function runTest(options: TestOptions): Promise<void> {
  const form = outputForm(options.output);
  const wanted = chooseScenarios(options.only ?? []);
  const machine = form === "json" || form === "yaml";
  const say = (text: string) => (machine ? process.stderr : process.stdout).write(`${text}\n`);
  using stop = interruption(options.timeout);
  using client = await clusterClient(options);
  const startMs = Date.now();
  const results = await runConnectivityTest({
    client,
    flowClient: await clusterClient(options),
    image: options.image,
    wanted,
    keep: options.keep ?? false,
    signal: stop.signal,
    progress: (text) => say(styleText("dim", `… ${text}`)),
    onResult: (result) => say(resultText(result)),
  });
  if (options.junit !== undefined) writeFileSync(options.junit, junit(results));
  if (machine) printObject(results, form, (text) => process.stdout.write(text));
  else say(`\n${summary(results)} in ${((Date.now() - startMs) / 1000).toFixed(0)} s`);
  if (results.some(({ outcome }) => outcome === "failed")) process.exitCode = 1;
}

function resultText({ name, outcome, ms, text, hint, flows = [] }: ScenarioResult): string {
  const mark = {
    passed: styleText("green", "✓"),
    failed: styleText("red", "✗"),
    skipped: styleText("yellow", "-"),
  }[outcome];
  const time = outcome === "skipped" ? "" : ` ${(ms / 1000).toFixed(1)} s`;
  const lines = [`${mark} ${name}${time}${outcome === "skipped" ? `: ${text}` : ""}`];
  if (outcome === "failed") {
    lines.push(...(text ?? "").split("; ").map((line) => `    ${line}`));
    if (flows.length > 0) lines.push("    flows seen:", ...flows.map((flow) => `      ${flow}`));
    else lines.push("    no flows of these pods were seen");
    if (hint) lines.push(`    next: ${hint}`);
  }
  return lines.join("\n");
}

function summary(results: readonly ScenarioResult[]): string {
  const count = (outcome: ScenarioResult["outcome"]) =>
    results.filter((result) => result.outcome === outcome).length;
  return `${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`;
}

function listCommand(): Command {
  return new Command("list").description("the scenarios there are").action(() => {
    const width = Math.max(...scenarios.map(({ name }) => name.length));
    for (const { name, shows } of scenarios) process.stdout.write(`${name.padEnd(width)}   ${shows}\n`);
  });
}

function cleanupCommand(): Command {
  const command = new Command("cleanup").description("take away what interrupted runs left");
  return withKubeconfig(command).action(async (options: ClusterChoice) => {
    using client = await clusterClient(options);
    const progress = (text: string) => process.stdout.write(`${text}\n`);
    const removed = await removeOldRuns(client, {
      all: true,
      signal: AbortSignal.timeout(300_000),
      progress,
    });
    progress(removed.length === 0 ? "nothing was left" : `${removed.length} removed`);
  });
}

/** Aborts at the first Ctrl-C, or when time is up: then things are taken down. A second Ctrl-C ends at once. */
function interruption(timeoutSec: number): Disposable & { readonly signal: AbortSignal } {
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(130);
    stop.abort(new WeftError("E_STOPPED", "interrupted"));
    process.stderr.write("\ninterrupted: cleaning up (once more to leave at once)\n");
  };
  const timer = setTimeout(
    () => stop.abort(new WeftError("E_TIMEOUT", `not done after ${timeoutSec} s (--timeout)`)),
    timeoutSec * 1000,
  );
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return {
    signal: stop.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    },
  };
}

function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}

function seconds(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text);
  throw new WeftError("E_USAGE", `"${text}" is not a number of seconds`);
}
