// SPDX-License-Identifier: Apache-2.0
import { createServer, request } from "node:http";
import { netnsPath } from "#kernel/netns.ts";
import { WeftError } from "#lib/errors.ts";
import type { Address } from "#model/ip.ts";
import { type LabPlan, type NodePlan, WORLD } from "./layout.ts";
import { mergeMetrics } from "./merge-metrics.ts";
import { connectFrom } from "./stand-in/calls.ts";

/** The usual port when it is free, else any. */
const PORT = 9962;
const TIMEOUT_MS = 2_000;

/** One page with the metrics of all agents, on the machine's loopback. A node that does not answer is left out. */
export async function startMetrics(plan: LabPlan): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer((_request, response) => {
    void Promise.all(plan.nodes.map(scrape)).then((texts) => {
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
      response.end(mergeMetrics(texts.filter((one) => one !== undefined)));
    });
  });
  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => {
        server.off("error", reject);
        resolve();
      });
    });
  await listen(PORT).catch(() => listen(0));
  const bound = server.address();
  if (typeof bound !== "object" || !bound) throw new WeftError("E_LISTEN", "cannot listen for metrics");
  return {
    url: `http://127.0.0.1:${bound.port}/metrics`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function scrape(node: NodePlan): Promise<{ node: string; text: string } | undefined> {
  try {
    const address: Address = node.addresses[0]!;
    const socket = await connectFrom(netnsPath(WORLD), {
      address,
      port: node.metricsPort,
      timeoutMs: TIMEOUT_MS,
    });
    const text = await new Promise<string>((resolve, reject) => {
      const outgoing = request(
        {
          createConnection: () => socket,
          path: "/metrics",
          headers: { connection: "close" },
          signal: AbortSignal.timeout(TIMEOUT_MS),
        },
        (answer) => {
          let body = "";
          answer.on("data", (chunk: Buffer) => (body += chunk.toString()));
          answer.once("end", () => resolve(body));
          answer.once("error", reject);
        },
      );
      outgoing.once("error", reject);
      outgoing.end();
    });
    return { node: node.name, text };
  } catch {
    return undefined;
  }
}
