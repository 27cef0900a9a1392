// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { WeftError } from "#lib/errors.ts";

export interface CommandOptions {
  /** Given to its stdin; without it stdin is empty. */
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface CommandResult {
  /** The exit code; 128 and the signal's number is not used: a signal gives -1. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const DEFAULT_TIMEOUT_MS = 120_000;
const OUTPUT_LIMIT = 64 << 20;

/**
 * Runs a program and returns its output whatever its exit code is.
 * @throws WeftError E_COMMAND when it cannot be started, takes longer than `timeoutMs` or writes more than 64 MiB
 */
export function tryCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  const [program, ...args] = argv;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const signals = [AbortSignal.timeout(timeoutMs), ...(options.signal ? [options.signal] : [])];
  const child = spawn(program!, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    signal: AbortSignal.any(signals),
    killSignal: "SIGKILL",
    ...(options.cwd ? { cwd: options.cwd } : {}),
  });
  const chunks: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
  let bytes = 0;
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > OUTPUT_LIMIT) child.kill("SIGKILL");
      else chunks[name].push(chunk);
    });
  }
  child.once("error", (cause) => {
    const why = signals[0]!.aborted ? `took longer than ${timeoutMs / 1000} s` : cause.message;
    reject(new WeftError("E_COMMAND", `${argv.slice(0, 8).join(" ")}: ${why}`, { cause }));
  });
  child.once("close", (code) => {
    const text = (name: "stdout" | "stderr") => Buffer.concat(chunks[name]).toString();
    resolve({ code: code ?? -1, stdout: text("stdout"), stderr: text("stderr") });
  });
  // A program that ends without reading its input is no error.
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  return promise;
}

/**
 * Runs a program and returns its stdout.
 * @throws WeftError E_COMMAND with the last lines of its stderr when its exit code is not 0
 */
export async function command(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await tryCommand(argv, options);
  if (code !== 0) {
    const tail = (stderr.trim() || stdout.trim()).split("\n").slice(-12).join("\n");
    throw new WeftError("E_COMMAND", `${argv.slice(0, 8).join(" ")}: exit code ${code}\n${tail}`);
  }
  return stdout;
}
