// SPDX-License-Identifier: Apache-2.0
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { errorText } from "#lib/errors.ts";
import { authenticate, type User } from "./auth.ts";
import { ApiError, badRequest, unknownPath } from "./errors.ts";
import { execProtocols, serveExec } from "./exec.ts";
import type { KubeletClient } from "./kubelet.ts";
import { parsePath } from "./path.ts";
import { type PodTarget, podTarget } from "./pod-target.ts";
import type { Catalog } from "./resource.ts";
import type { Store } from "./store.ts";

interface Parts {
  readonly store: Store;
  readonly catalog: Catalog;
  readonly users: readonly User[];
  readonly kubelet: KubeletClient | undefined;
}

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** Handles connections that become WebSockets: `kubectl exec`. The older SPDY form is refused, which kubectl reports as text. */
export function createUpgradeHandler(parts: Parts): UpgradeHandler {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: 4 * 1024 * 1024,
    handleProtocols: (offered) => execProtocols.find((protocol) => offered.has(protocol)) ?? false,
  });
  return (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    try {
      const { target, query } = execTarget(parts, request);
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        serveExec(target, query, webSocket).catch(() => webSocket.terminate());
      });
    } catch (thrown) {
      refuse(socket, thrown);
    }
  };
}

function execTarget(parts: Parts, request: IncomingMessage): { target: PodTarget; query: URLSearchParams } {
  const url = new URL(request.url ?? "/", "https://lab");
  authenticate(parts.users, request);
  const path = parsePath(parts.catalog, url.pathname);
  if (path?.resource.storage !== "/pods" || path.subresource !== "exec" || !path.name) throw unknownPath();
  const query = url.searchParams;
  const target = podTarget(
    parts,
    { resource: path.resource, namespace: path.namespace, name: path.name },
    query.get("container"),
  );
  if (query.getAll("command").length === 0)
    throw badRequest("you must specify at least one command for the container");
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((item) => item.trim());
  if (
    request.headers.upgrade?.toLowerCase() !== "websocket" ||
    !execProtocols.some((protocol) => offered.includes(protocol))
  ) {
    throw badRequest(`unable to upgrade: only WebSocket with ${execProtocols.join(" or ")} is served`);
  }
  return { target, query };
}

function refuse(socket: Duplex, thrown: unknown): void {
  const error = thrown instanceof ApiError ? thrown : new ApiError(500, "InternalError", errorText(thrown));
  const body = JSON.stringify(error.status());
  const head = `HTTP/1.1 ${error.httpCode} ${STATUS_CODES[error.httpCode] ?? ""}\r\ncontent-type: application/json\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`);
}
