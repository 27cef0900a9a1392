// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { HttpServers, Role } from "./http.ts";

const IDLE_MS = 120_000;
const HTTP2_PREFACE = "PRI * HTTP/2.0";
const HTTP1 = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE) /;

/**
 * Serves one connection in the protocol its client speaks, told by the first bytes: HTTP/1, HTTP/2 (gRPC health), the
 * Redis protocol; whatever else is echoed.
 */
export function serveConnection(socket: Socket, role: Role, servers: HttpServers): void {
  socket.on("error", () => socket.destroy());
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.once("data", (first: Buffer) => {
    const text = first.toString("latin1", 0, 64);
    if (text.startsWith("PRI")) hand(socket, first, servers, "http2");
    else if (HTTP1.test(text)) hand(socket, first, servers, "http1");
    else if (isRedis(text)) {
      role.log(`redis client ${socket.remoteAddress}:${socket.remotePort}`);
      answerRedis(socket, first);
      socket.on("data", (chunk: Buffer) => answerRedis(socket, chunk));
    } else {
      socket.write(first);
      socket.pipe(socket);
    }
  });
}

function hand(socket: Socket, first: Buffer, servers: HttpServers, protocol: keyof HttpServers): void {
  if (protocol === "http2" && !first.toString("latin1", 0, HTTP2_PREFACE.length).startsWith(HTTP2_PREFACE)) {
    socket.destroy();
    return;
  }
  // Both servers read on from what is already there.
  socket.pause();
  socket.removeAllListeners("data");
  socket.unshift(first);
  servers[protocol].emit("connection", socket);
  if (protocol === "http1") socket.resume();
}

function isRedis(text: string): boolean {
  return /^(\*\d+\r\n|PING|ECHO |INFO|QUIT)/i.test(text);
}

/** Enough of the protocol for health checks: PING, ECHO, GET (nil), everything else +OK. One reply per command seen. */
function answerRedis(socket: Socket, chunk: Buffer): void {
  const text = chunk.toString("latin1");
  const words = text.startsWith("*") ? commandWords(text) : text.trim().split(/\s+/);
  const [name = "", argument = ""] = words;
  switch (name.toUpperCase()) {
    case "PING":
      socket.write(argument && text.startsWith("*") ? bulk(argument) : "+PONG\r\n");
      return;
    case "ECHO":
      socket.write(bulk(argument));
      return;
    case "GET":
      socket.write("$-1\r\n");
      return;
    case "QUIT":
      socket.end("+OK\r\n");
      return;
    default:
      socket.write("+OK\r\n");
  }
}

function commandWords(text: string): string[] {
  const lines = text.split("\r\n");
  return lines.filter((_, i) => i >= 2 && i % 2 === 0).filter((word) => word !== "");
}

function bulk(text: string): string {
  return `$${Buffer.byteLength(text, "latin1")}\r\n${text}\r\n`;
}
