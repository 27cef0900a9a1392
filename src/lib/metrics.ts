// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { collectDefaultMetrics, Registry } from "prom-client";
import { errorText, WeftError } from "#lib/errors.ts";

export { Counter, Gauge, Histogram, Registry } from "prom-client";

/** Whatever can give its metrics in the Prometheus text format; a prom-client Registry is one. */
export interface MetricsSource {
  metrics(): Promise<string>;
}

/** A registry with the process's own metrics (CPU, memory, event loop, garbage collection). */
export function createRegistry(): Registry {
  const registry = new Registry();
  // The event loop's lag is sampled by a timer: with the default of 10 ms that alone is half of what an idle agent costs.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  return registry;
}

export interface MetricsServerOptions {
  /** `host:port`; port 0: any free one. An IPv6 host in brackets. */
  readonly listen: string;
  readonly registries: readonly MetricsSource[];
}

export interface MetricsServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

/**
 * Serves `GET /metrics`: the texts of all sources, one after the other. A source that fails makes the answer a 500.
 * @throws WeftError E_CONFIG for a bad address, E_LISTEN when it is taken
 */
export async function startMetricsServer({
  listen,
  registries,
}: MetricsServerOptions): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    if (request.method !== "GET" || request.url?.split("?")[0] !== "/metrics") {
      response.writeHead(404, { "content-type": "text/plain" }).end("metrics are at /metrics\n");
      return;
    }
    Promise.all(registries.map((source) => source.metrics())).then(
      (texts) =>
        response
          .writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" })
          .end(texts.join("")),
      (thrown: unknown) =>
        response.writeHead(500, { "content-type": "text/plain" }).end(`${errorText(thrown)}\n`),
    );
  });
  return listenOn(server, listen, "serve metrics");
}

/**
 * Listens until disposal; who is connected then is cut off.
 * @param purpose for the error: `serve metrics`
 * @throws WeftError E_CONFIG, E_LISTEN
 */
export async function listenOn(server: Server, listen: string, purpose: string): Promise<MetricsServer> {
  const { host, port } = parseListen(listen);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new WeftError("E_LISTEN", `cannot ${purpose} on ${listen}`, { cause, hint: listenHint(cause) })),
    );
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  return {
    host: address.address,
    port: address.port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** What to do where nothing can listen. */
export function listenHint(cause: unknown): string {
  return (cause as NodeJS.ErrnoException).code === "EADDRINUSE"
    ? "another program has this port: end it (`ss -ltnp` names it), or choose another port in the settings"
    : "choose an address of this machine in the settings";
}

/** `0.0.0.0:4244`, `[::]:4244`. @throws WeftError E_CONFIG */
export function parseListen(listen: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:]+)):(\d{1,5})$/.exec(listen);
  const port = Number(match?.[3]);
  if (!match || port > 65_535)
    throw new WeftError("E_CONFIG", `"${listen}" is not an address to listen on`, {
      hint: "write HOST:PORT",
    });
  return { host: match[1] ?? match[2]!, port };
}
