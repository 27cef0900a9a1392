// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:http";
import { listenOn } from "#lib/metrics.ts";

export interface ProbeServerOptions {
  /** `host:port`; port 0: any free one. */
  readonly listen: string;
  /** What is so wrong that only a new process helps; undefined: nothing. */
  live(): string | undefined;
  /** What is missing before this process does its work; undefined: nothing. */
  ready(): string | undefined;
}

export interface ProbeServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

/**
 * Answers a kubelet's probes: `GET /healthz` (liveness) and `GET /readyz`. 200 with `ok`, or 503 with the reason, which the kubelet shows in
 * the pod's events.
 * @throws WeftError E_CONFIG for a bad address, E_LISTEN when it is taken
 */
export async function startProbeServer({ listen, live, ready }: ProbeServerOptions): Promise<ProbeServer> {
  const probes: Readonly<Record<string, () => string | undefined>> = { "/healthz": live, "/readyz": ready };
  const server = createServer((request, response) => {
    const text = { "content-type": "text/plain; charset=utf-8" };
    const probe = request.method === "GET" ? probes[request.url?.split("?")[0] ?? ""] : undefined;
    if (!probe) {
      response.writeHead(404, text).end("probes are at /healthz and /readyz\n");
      return;
    }
    const problem = probe();
    response.writeHead(problem === undefined ? 200 : 503, text).end(`${problem ?? "ok"}\n`);
  });
  return listenOn(server, listen, "answer probes");
}
