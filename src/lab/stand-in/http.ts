// SPDX-License-Identifier: Apache-2.0
import {
  createServer as createHttp,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createHttp2, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";

/** Who a connection's server plays. */
export interface Role {
  readonly namespace: string;
  readonly pod: string;
  readonly node: string;
  readonly container: string;
  /** Answers with the bare pod name on every path, as servers of host names do. */
  readonly bareName: boolean;
  log(text: string): void;
}

/** One HTTP/1 and one HTTP/2 server for all pods of the node; they are handed connections, they never listen. */
export interface HttpServers {
  readonly http1: Server;
  readonly http2: Http2Server;
}

export function createHttpServers(roleOf: (socket: Socket) => Role | undefined): HttpServers {
  const http1 = createHttp({ keepAliveTimeout: 30_000, requestTimeout: 30_000 }, (request, response) => {
    const role = roleOf(request.socket);
    if (role) answer(role, request, response);
    else response.destroy();
  });
  const http2 = createHttp2();
  http2.on("stream", (stream: ServerHttp2Stream, headers) =>
    answerGrpc(stream, String(headers[":path"] ?? "")),
  );
  http2.on("sessionError", () => {});
  return { http1, http2 };
}

function answer(role: Role, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://stand-in");
  const from = `${request.socket.remoteAddress?.replace(/^::ffff:/, "")}:${request.socket.remotePort}`;
  if (!request.headers["user-agent"]?.startsWith("kube-probe"))
    role.log(`${request.method} ${url.pathname} from ${from}`);
  request.resume();
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.setHeader("x-weft-pod", `${role.namespace}/${role.pod}`);
  response.end(body(role, url, from));
}

/** The paths test programs ask (`/hostname`, `/clientip`, `/echo?msg=`); on every other one who answers. */
function body(role: Role, url: URL, from: string): string {
  if (role.bareName || url.pathname === "/hostname") return role.pod;
  if (url.pathname.toLowerCase() === "/clientip") return from;
  if (url.pathname === "/echo") return url.searchParams.get("msg") ?? "";
  return `${role.namespace}/${role.pod} (${role.container}) on ${role.node}\n`;
}

/** `grpc.health.v1.HealthCheckResponse{status: SERVING}` in a gRPC frame: flag 0, length 2, field 1 = 1. */
const SERVING = Uint8Array.of(0, 0, 0, 0, 2, 0x08, 0x01);

/** gRPC health (grpc.health.v1): SERVING for whatever is asked; any other method is UNIMPLEMENTED (12). */
function answerGrpc(stream: ServerHttp2Stream, path: string): void {
  stream.on("error", () => {});
  stream.resume();
  const health = path === "/grpc.health.v1.Health/Check";
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": health ? "0" : "12" }));
  stream.end(health ? SERVING : undefined);
}
