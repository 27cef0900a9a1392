// SPDX-License-Identifier: Apache-2.0
// The bench: figures over interleaved rounds, ratios to the same thing without Weft wherever there is one. `npm run bench -- --help`
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { parseArgs } from "node:util";
import { errorText } from "#lib/errors.ts";
import { agent } from "./agent.ts";
import { aimOf } from "./aims.ts";
import { changes } from "./changes.ts";
import type { BenchPart } from "./context.ts";
import { events } from "./events.ts";
import { nativePaths, tunnelPaths } from "./paths.ts";
import { policy } from "./policy.ts";
import { programs } from "./programs.ts";
import { distrusted, type Figure, figureText } from "./stats.ts";

const parts: readonly BenchPart[] = [tunnelPaths, nativePaths, programs, agent, policy, changes, events];

const help = `Measures Weft on this machine: about 7 minutes, needs root.

npm run bench -- [--only PART[,PART]...] [--rounds N] [--json FILE]

Parts:
${parts.map(({ name, what }) => `  ${name.padEnd(10)} ${what}`).join("\n")}

--rounds N   instead of each part's own number; more rounds, narrower quartiles
--json FILE  the figures as an array of {name, unit, median, q1, q3, rounds, control}
`;

function usage(message: string): never {
  console.error(`bench: ${message}\n\n${help}`);
  process.exit(2);
}

function parsed() {
  try {
    return parseArgs({
      options: {
        only: { type: "string", multiple: true, default: [] },
        rounds: { type: "string" },
        json: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    return usage(errorText(error));
  }
}

function options() {
  const values = parsed();
  if (values.help) {
    console.log(help);
    process.exit(0);
  }
  const wanted = values.only.flatMap((text) => text.split(","));
  const unknown = wanted.find((name) => !parts.some((part) => part.name === name));
  if (unknown !== undefined) usage(`no part "${unknown}"`);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= 1000))
    usage("--rounds takes 1 to 1000");
  const chosen = parts.filter((part) => wanted.length === 0 || wanted.includes(part.name));
  return { chosen, rounds, json: values.json };
}

function machine(): string {
  const model = /^model name\s*: (.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? process.arch;
  return `${cpus().length} cores (${model}), Linux ${release()}, load average ${loadavg()[0]?.toFixed(1)}`;
}

function print(figures: readonly Figure[], name: string): void {
  console.log(`\n${name}`);
  const width = Math.max(...figures.map((figure) => figure.name.length));
  for (const figure of figures) {
    const aim = aimOf(figure.name, figure.unit);
    const judged = aim === undefined ? "" : `  aim ${aim.text}${aim.met(figure.median) ? "" : ": missed"}`;
    const control = figure.control === undefined ? "" : ` to ${figure.control}`;
    console.log(
      `  ${figure.name.padEnd(width)}  ${figureText(figure)} ${figure.unit}${control}, n=${figure.rounds}${judged}`,
    );
  }
  for (const why of distrusted(figures)) console.log(`  not to be trusted: ${why}`);
}

/** What went wrong first, not what went wrong while that was cleared up. */
function cause(error: unknown): string {
  return error instanceof SuppressedError ? cause(error.suppressed) : errorText(error);
}

async function main(): Promise<void> {
  const { chosen, rounds, json } = options();
  if (process.getuid?.() !== 0) {
    console.error("bench: makes network namespaces and loads BPF programs, so it needs root");
    process.exit(1);
  }
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
  const name = process.env["WEFT_LAB"] || "bench";
  console.log(machine());
  const figures: Figure[] = [];
  const startMs = performance.now();
  try {
    for (const part of chosen) {
      const progress = (text: string) => {
        const second = Math.round((performance.now() - startMs) / 1000);
        console.error(`\x1b[2m${String(second).padStart(4)} s  ${part.name}: ${text}\x1b[0m`);
      };
      const measured = await part.run({ rounds, signal: stop.signal, name, progress });
      figures.push(...measured);
      print(measured, part.name);
      if (json !== undefined) writeFileSync(json, `${JSON.stringify(figures, null, 2)}\n`);
    }
  } catch (error) {
    console.error(`bench: ${stop.signal.aborted ? "stopped" : cause(error)}; everything is taken down`);
    process.exitCode = stop.signal.aborted ? 130 : 1;
  }
}

await main();
