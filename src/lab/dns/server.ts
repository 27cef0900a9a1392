// SPDX-License-Identifier: Apache-2.0
import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import { bindUdp, listenTcp } from "#kernel/socket.ts";
import { errorText } from "#lib/errors.ts";
import { parseAddress } from "#model/ip.ts";
import type { Families } from "../layout.ts";
import type { Role } from "../stand-in/http.ts";
import { type DnsView, resolveName } from "./records.ts";
import { type DnsMessage, decodeMessage, encodeMessage, ResponseCode, UDP_LIMIT } from "./wire.ts";

/** The cluster's DNS, played inside a pod's namespace over UDP and TCP port 53 (and HTTP health on 8080 by the stand-in). */
export interface DnsServer {
  /** Returns what ends it. */
  serve(netns: string, role: Role): () => void;
}

const wildcard = { v4: parseAddress("0.0.0.0"), v6: parseAddress("::") };

export function createDnsServer(view: DnsView, families: Families): DnsServer {
  return {
    serve(netns, role) {
      const closers: (() => void)[] = [];
      for (const family of ["v4", "v6"] as const) {
        if (families !== "dual" && families !== family) continue;
        const where = { netns, v6Only: family === "v6" };
        try {
          closers.push(serveUdp(bindUdp(wildcard[family], 53, where), family, view));
          closers.push(serveTcp(listenTcp(wildcard[family], 53, where), view));
        } catch (thrown) {
          role.log(`cannot listen on port 53: ${errorText(thrown)}`);
        }
      }
      role.log("answering on port 53");
      return () => {
        for (const close of closers) close();
      };
    },
  };
}

/** The answer to a request's bytes; undefined when it is not even a message. */
function answerTo(view: DnsView, bytes: Uint8Array, limit?: number): Buffer | undefined {
  let request: DnsMessage;
  try {
    request = decodeMessage(bytes);
  } catch {
    return undefined;
  }
  if (request.response) return undefined;
  const { code, records } = request.question
    ? resolveName(view, request.question)
    : { code: ResponseCode.formatError, records: [] };
  return encodeMessage(
    { ...request, response: true, authoritative: true, truncated: false, code, answers: records },
    limit,
  );
}

function serveUdp(fd: number, family: "v4" | "v6", view: DnsView): () => void {
  const socket = createSocket(family === "v4" ? "udp4" : "udp6");
  socket.on("error", () => {});
  socket.on("message", (bytes, from) => {
    const answer = answerTo(view, bytes, UDP_LIMIT);
    if (answer) socket.send(answer, from.port, from.address, () => {});
  });
  socket.bind({ fd });
  return () => socket.close();
}

/** Messages with their length in two bytes before (RFC 1035, 4.2.2). */
function serveTcp(fd: number, view: DnsView): () => void {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.setTimeout(10_000, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.once("close", () => open.delete(socket));
    let rest = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
        const size = rest.readUInt16BE(0);
        const answer = answerTo(view, rest.subarray(2, 2 + size));
        rest = rest.subarray(2 + size);
        if (!answer) {
          socket.destroy();
          return;
        }
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([length, answer]));
      }
    });
  });
  server.on("error", () => {});
  server.listen({ fd });
  return () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
}
