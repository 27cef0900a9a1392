// SPDX-License-Identifier: Apache-2.0
/** What the benches' main programs share: who may run them, how they are stopped, how figures are shown and kept. */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { errorText } from "#lib/errors.ts";
import { aimOf } from "./aims.ts";
import { distrusted, type Figure, figureText } from "./stats.ts";

/** Where a bench's parts leave what they found. */
export interface Report {
  readonly signal: AbortSignal;
  /** Says what a part is about. */
  progress(part: string): (text: string) => void;
  /** Prints the figures and keeps them in the file that was asked for. */
  add(title: string, figures: readonly Figure[]): void;
}

export interface BenchProgram {
  /** As people call it: `bench`. */
  readonly name: string;
  /** Where the figures go, as JSON; absent: nowhere. */
  readonly json: string | undefined;
  run(report: Report): Promise<void>;
}

function machine(): string {
  const model = /^model name\s*: (.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? process.arch;
  return `${cpus().length} cores (${model}), Linux ${release()}, load average ${loadavg()[0]?.toFixed(1)}`;
}

function print(figures: readonly Figure[], title: string): void {
  console.log(`\n${title}`);
  const width = Math.max(...figures.map((figure) => figure.name.length));
  for (const figure of figures) {
    const aim = aimOf(figure);
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

/** Runs a bench to its end, or until it fails or is stopped; the exit code says which. */
export async function benchMain({ name, json, run }: BenchProgram): Promise<void> {
  if (process.getuid?.() !== 0) {
    console.error(`${name}: makes network namespaces and loads BPF programs, so it needs root`);
    process.exit(1);
  }
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
  console.log(machine());
  const figures: Figure[] = [];
  const startMs = performance.now();
  try {
    await run({
      signal: stop.signal,
      progress: (part) => (text) => {
        const second = Math.round((performance.now() - startMs) / 1000);
        console.error(`\x1b[2m${String(second).padStart(4)} s  ${part}: ${text}\x1b[0m`);
      },
      add(title, found) {
        figures.push(...found);
        print(found, title);
        if (json !== undefined) writeFileSync(json, `${JSON.stringify(figures, null, 2)}\n`);
      },
    });
  } catch (error) {
    console.error(`${name}: ${stop.signal.aborted ? "stopped" : cause(error)}; everything is taken down`);
    process.exitCode = stop.signal.aborted ? 130 : 1;
  }
}

/** A whole number of a command line. @throws Error that names the option */
export function wholeNumber(
  option: string,
  text: string,
  { min, max }: { min: number; max: number },
): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new Error(`${option} takes ${min} to ${max}`);
}
