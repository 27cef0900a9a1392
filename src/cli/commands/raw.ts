// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import { agentGet } from "#agent/api-client.ts";
import { observerClient } from "#flows/client.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { observerPath, type RawAnswer } from "#live/ask.ts";
import type { FlowRate } from "#live/report.ts";

interface RawOptions {
  readonly agent: string;
  readonly observer: string;
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
    .option("--observer <socket>", "socket of its observer", "/run/weft/observer.sock")
    .action(async (paths: readonly string[], options: RawOptions) => {
      for (const path of paths) {
        const answer =
          path === observerPath ? await askObserver(options.observer) : await askOne(options.agent, path);
        process.stdout.write(`${JSON.stringify(answer)}\n`);
      }
    });
}

/** An agent that is not there fails the command; a path it does not know fails alone. */
async function askOne(socket: string, path: string): Promise<RawAnswer> {
  try {
    return { path, body: await agentGet(socket, path, AbortSignal.timeout(answerMs)) };
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || thrown.code === "E_AGENT") throw thrown;
    return { path, error: { code: thrown.code, message: thrown.message } };
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
