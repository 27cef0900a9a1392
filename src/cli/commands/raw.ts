// SPDX-License-Identifier: Apache-2.0
import { createInterface } from "node:readline";
import { Command } from "commander";
import { agentGet, agentPost } from "#agent/api-client.ts";
import { observerClient } from "#flows/client.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { observerPath, type RawAnswer } from "#live/ask.ts";
import type { FlowRate } from "#live/report.ts";

interface RawOptions {
  readonly agent: string;
  readonly observer: string;
  readonly post?: boolean;
}

const answerMs = 20_000;

/**
 * `weft raw PATH…`: what the agent here answers at paths of its local API, a line of JSON each. This is what the command starts in agents'
 * containers to ask them from afar.
 */
export function rawCommand(): Command {
  return new Command("raw")
    .description("answers of an agent's local API, one line of JSON a path")
    .argument("<path...>")
    .option("--agent <socket>", "socket of the agent", "/run/weft/agent.sock")
    .option("--post", "ask it to do what stands on one line of standard input, JSON")
    .option("--observer <socket>", "socket of its observer", "/run/weft/observer.sock")
    .action(async (paths: readonly string[], options: RawOptions) => {
      const body = options.post ? (JSON.parse(await firstLine()) as unknown) : undefined;
      for (const path of paths) {
        const answer =
          path === observerPath
            ? await askObserver(options.observer)
            : await askOne(options.agent, path, body);
        process.stdout.write(`${JSON.stringify(answer)}\n`);
      }
    });
}

/** An agent that is not there fails the command; a path it does not know fails alone. */
async function askOne(socket: string, path: string, posted: unknown): Promise<RawAnswer> {
  const signal = AbortSignal.timeout(answerMs);
  try {
    const post = () => agentPost(socket, { path, body: posted }, signal);
    return { path, body: await (posted === undefined ? agentGet(socket, path, signal) : post()) };
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || thrown.code === "E_AGENT") throw thrown;
    const { code, message, hint } = thrown;
    return { path, error: { code, message, ...(hint !== undefined && { hint }) } };
  }
}

/** Without waiting for the input's end, which not every runtime tells. */
async function firstLine(): Promise<string> {
  try {
    for await (const line of createInterface({ input: process.stdin })) return line;
    return "";
  } finally {
    process.stdin.destroy();
  }
}

async function askObserver(socket: string): Promise<RawAnswer> {
  using client = observerClient(`unix://${socket}`);
  try {
    const { flowsRate, seenFlows, numFlows } = await client.api.serverStatus({}, { timeoutMs: answerMs });
    const body: FlowRate = { perSec: flowsRate, seen: Number(seenFlows), held: Number(numFlows) };
    return { path: observerPath, body };
  } catch (thrown) {
    return { path: observerPath, error: { code: "E_OBSERVER", message: errorText(thrown) } };
  }
}
