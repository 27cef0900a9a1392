// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installRoot } from "#lib/assets.ts";
import { errorText, isAbort, WeftError } from "#lib/errors.ts";
import { createLogger, type Logger } from "#lib/log.ts";

export interface Program {
  /** `weft-operator`: in the log. */
  readonly name: string;
  /** What it is, in one sentence: for `--help`. */
  readonly about: string;
  /** Where its settings are without `--config`. */
  readonly config: string;
  /** The program from start to stop; returns, or throws the signal's reason, when the signal aborts. */
  run(configPath: string, log: Logger, signal: AbortSignal): Promise<void>;
}

/** Runs a program of a pod until SIGTERM or SIGINT. Exits 1 when it fails by itself: whoever supervises it starts it anew. */
export async function runProgram({ name, about, config, run }: Program): Promise<never> {
  const { values } = programArguments(usage({ name, about, config }), config);
  if (values.version || values.help) {
    console.log(values.version ? installedVersion() : usage({ name, about, config }));
    process.exit();
  }
  const log = createLogger(name);
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.once(signal, () => stop.abort(new WeftError("E_STOPPED", `stopped by ${signal}`)));
  try {
    await run(values.config, log, stop.signal);
  } catch (error) {
    const code = error instanceof WeftError ? error.code : undefined;
    const hint = error instanceof WeftError ? error.hint : undefined;
    if (!stop.signal.aborted) {
      log.fatal({ error: errorText(error), hint, code }, `${name} failed`);
      process.exitCode = 1;
    } else if (code !== "E_STOPPED" && !isAbort(error)) {
      log.warn({ error: errorText(error), code }, "stopped, but not cleanly");
    }
  }
  // The last line of a program that failed says why: it is what Kubernetes shows of it.
  if (stop.signal.aborted) log.info({}, "stopped");
  // A thread or socket of a start that failed half-way must not keep the process.
  process.exit();
}

/** What the program is started with. Words it does not know: its usage, and it ends with 2. */
export function programArguments(usage: string, config: string, allowPositionals = false) {
  const options = {
    config: { type: "string", default: config },
    help: { type: "boolean", short: "h" },
    version: { type: "boolean" },
  } as const;
  try {
    return parseArgs({ options, allowPositionals });
  } catch (error) {
    console.error(`${errorText(error)}\n\n${usage}`);
    process.exit(2);
  }
}

function usage({ name, about, config }: Omit<Program, "run">): string {
  return `Usage: ${name} [--config FILE]

${about}

  --config FILE  its settings (default ${config})
  --version      print the version
  -h, --help     print this`;
}

/** The version of this installation. */
export function installedVersion(): string {
  const text = readFileSync(join(installRoot(), "package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
