// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "node:http";
import { type RawData, WebSocket } from "ws";
import { errorOfAnswer, KubeError } from "#k8s/errors.ts";
import type { Credentials } from "#k8s/kubeconfig.ts";

export interface WebSocketRequest {
  readonly path: string;
  /** May name a parameter many times, as commands are given. */
  readonly query: readonly (readonly [string, string])[];
  /** Subprotocols, best first; the server chooses one. */
  readonly protocols: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

const handshakeTimeoutMs = 30_000;
/** The API server sends a chunk of output in one message: 32 KiB; a limit only for what is no API server. */
const maxMessageBytes = 16 * 2 ** 20;

/**
 * Opens a WebSocket to an API server, as its streaming subresources (exec, portforward) are reached. It is open and paused when this
 * resolves: attach listeners, then `resume()`. Aborting the signal afterwards cuts it.
 * @throws KubeError for what the server answers instead, and when it is not reached
 */
export async function openWebSocket(
  credentials: Credentials,
  request: WebSocketRequest,
  userAgent: string,
): Promise<WebSocket> {
  const { ca, cert, key, servername, insecure } = credentials;
  const { signal } = request;
  const token = await credentials.token();
  signal?.throwIfAborted();
  const url = new URL(credentials.server);
  url.protocol = url.protocol === "http:" ? "ws:" : "wss:";
  url.pathname = url.pathname.replace(/\/$/, "") + request.path;
  for (const [name, value] of request.query) url.searchParams.append(name, value);
  const socket = new WebSocket(url, [...request.protocols], {
    headers: { "user-agent": userAgent, ...(token && { authorization: `Bearer ${token}` }) },
    handshakeTimeout: handshakeTimeoutMs,
    maxPayload: maxMessageBytes,
    perMessageDeflate: false,
    rejectUnauthorized: !insecure,
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(servername && { servername }),
  });
  const cut = () => socket.terminate();
  signal?.addEventListener("abort", cut, { once: true });
  socket.once("close", () => signal?.removeEventListener("abort", cut));
  try {
    await opened(socket, request.path);
    return socket;
  } catch (thrown) {
    signal?.throwIfAborted();
    throw thrown;
  }
}

function opened(socket: WebSocket, path: string): Promise<void> {
  const what = `open ${path}`;
  return new Promise((resolve, reject) => {
    // What follows the handshake at once must not pass before somebody listens.
    socket.once("open", () => {
      socket.pause();
      resolve();
    });
    socket.on("error", (cause) =>
      reject(new KubeError(`${what} got no complete answer`, { status: 0, reason: "Unreachable", cause })),
    );
    socket.once("unexpected-response", (_request, answer: IncomingMessage) => {
      readBody(answer).then((body) => {
        reject(errorOfAnswer(what, { status: answer.statusCode ?? 0, body, retryAfter: undefined }));
        socket.terminate();
      }, reject);
    });
  });
}

const maxErrorBytes = 64 * 1024;

async function readBody(answer: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of answer) {
    body += chunk;
    if (body.length > maxErrorBytes) break;
  }
  return body;
}

/** A message's bytes, however it came. */
export function bytesOf(raw: RawData): Buffer {
  if (Array.isArray(raw)) return Buffer.concat(raw);
  return Buffer.isBuffer(raw) ? raw : Buffer.from(raw);
}
