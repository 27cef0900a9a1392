// SPDX-License-Identifier: Apache-2.0
import { createServer, type RequestListener, type ServerResponse } from "node:http";
import { WeftError } from "#lib/errors.ts";
import { parseListen } from "#lib/metrics.ts";

export interface NodeHealthDeps {
  /** Where load balancers ask, `host:port`. */
  readonly listen: string;
  /** Where tools that look for a kube-proxy ask, `host:port`; empty: nowhere. */
  readonly statusListen: string;
  /** Whether the load balancer's maps follow the cluster. */
  healthy(): boolean;
  /** False: the node is about to go, and load balancers should choose others. */
  eligible(): boolean;
}

/**
 * The node's own health for load balancers (kube-proxy's port 10256): `/healthz` says whether new connections should come
 * here, `/livez` the same without the node's leaving (KEP-3836). And what kind of proxy this is (its port 10249).
 * @throws WeftError E_CONFIG for a bad address, E_LISTEN when it is taken
 */
export async function startNodeHealth(deps: NodeHealthDeps): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  stack.use(await serve(deps.listen, healthListener(deps)));
  if (deps.statusListen) stack.use(await serve(deps.statusListen, statusListener));
  return stack.move();
}

function healthListener({ healthy, eligible }: NodeHealthDeps): RequestListener {
  return (request, response) => {
    const path = pathOf(request.url);
    if (path !== "/healthz" && path !== "/livez")
      return notFound(response, "health is at /healthz and /livez");
    const nodeEligible = eligible();
    const currentTime = new Date().toISOString();
    const good = healthy();
    answerHealth(response, good && (path === "/livez" || nodeEligible), {
      lastUpdated: currentTime,
      currentTime,
      healthy: good,
      ...(path === "/healthz" && { nodeEligible }),
    });
  };
}

function statusListener(...[request, response]: Parameters<RequestListener>): void {
  if (pathOf(request.url) === "/proxyMode")
    response.writeHead(200, { "Content-Type": "text/plain" }).end("ebpf");
  else notFound(response, "the kind of proxy is at /proxyMode");
}

function pathOf(url: string | undefined): string | undefined {
  return url?.split("?")[0];
}

function notFound(response: ServerResponse, text: string): void {
  response.writeHead(404, { "Content-Type": "text/plain" }).end(`${text}\n`);
}

/** 200 or 503, and why. */
export function answerHealth(response: ServerResponse, good: boolean, body: unknown): void {
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.setHeader("Connection", "close");
  response
    .writeHead(good ? 200 : 503, { "Content-Type": "application/json" })
    .end(`${JSON.stringify(body, undefined, "\t")}\n`);
}

async function serve(listen: string, listener: RequestListener): Promise<AsyncDisposable> {
  const { host, port } = parseListen(listen);
  const server = createServer(listener);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new WeftError("E_LISTEN", `cannot serve the node's health on ${listen}`, {
          cause,
          hint: "does a kube-proxy still run on this node?",
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
