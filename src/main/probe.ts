// SPDX-License-Identifier: Apache-2.0
// The program in the pods of `weft connectivity test`. `serve NAME PORT…` answers; `ask` reads attempts from stdin, makes them and says what came.
import { createInterface } from "node:readline";
import { runProbe } from "#kernel/probe.ts";
import { errorText } from "#lib/errors.ts";
import { makeAttempt, type Ping } from "#live/connectivity/attempt.ts";
import type { Question, Reply } from "#live/connectivity/protocol.ts";
import { serveEcho } from "#live/connectivity/serve.ts";
import { parseAddress } from "#model/ip.ts";

const ping: Ping = async (host, timeoutMs) => {
  const { outcome, errno } = await runProbe(
    { protocol: "ICMP", to: parseAddress(host), port: 0 },
    { timeoutMs },
  );
  if (outcome === "connected") return { outcome: "answer", text: "" };
  if (outcome === "timeout") return { outcome: "silence", text: "" };
  return { outcome: "failed", text: errno ?? outcome };
};

async function answer({ id, attempt, timeoutMs }: Question): Promise<void> {
  const startMs = performance.now();
  const result = await makeAttempt(attempt, timeoutMs, ping);
  const reply: Reply = { id, ...result, ms: Math.round((performance.now() - startMs) * 10) / 10 };
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

const [, , command, name = "", ...ports] = process.argv;
process.once("SIGTERM", () => process.exit(0));
if (command === "serve") {
  await serveEcho(name, ports.map(Number));
} else if (command === "ask") {
  for await (const line of createInterface({ input: process.stdin }))
    answer(JSON.parse(line) as Question).catch((thrown: unknown) => {
      process.stderr.write(`${errorText(thrown)}\n`);
      process.exit(1);
    });
  process.exit(0);
} else {
  process.stderr.write("usage: probe serve NAME PORT... | probe ask\n");
  process.exit(2);
}
