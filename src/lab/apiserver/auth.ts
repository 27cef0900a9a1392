// SPDX-License-Identifier: Apache-2.0
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { ApiError } from "./errors.ts";

/** Who may talk to the server. Everybody who may at all may do everything: the lab has no authorisation. */
export interface User {
  readonly name: string;
  readonly groups?: readonly string[];
  /** Bearer token. */
  readonly token: string;
}

export interface Caller {
  readonly name: string;
  readonly groups: readonly string[];
}

const openPaths: ReadonlySet<string> = new Set(["/healthz", "/livez", "/readyz", "/version"]);

export function isOpen(path: string): boolean {
  return (
    openPaths.has(path) ||
    path.startsWith("/livez/") ||
    path.startsWith("/readyz/") ||
    path.startsWith("/healthz/")
  );
}

/** Finds out who sends a request, by bearer token or client certificate. @throws ApiError 401. */
export function authenticate(users: readonly User[], request: IncomingMessage): Caller {
  const header = request.headers.authorization ?? "";
  const token = /^Bearer\s+(\S+)$/i.exec(header)?.[1] ?? websocketToken(request);
  if (token !== undefined) {
    const found = users.find((user) => sameSecret(user.token, token));
    if (found) return { name: found.name, groups: [...(found.groups ?? []), "system:authenticated"] };
  } else if (request.socket instanceof TLSSocket && request.socket.authorized) {
    const subject = request.socket.getPeerCertificate().subject as
      | { CN?: string; O?: string | string[] }
      | undefined;
    if (subject?.CN)
      return { name: subject.CN, groups: [subject.O ?? []].flat().concat("system:authenticated") };
  }
  throw new ApiError(401, "Unauthorized", "Unauthorized");
}

/** A browser cannot set headers on a WebSocket and sends the token as a subprotocol. */
function websocketToken(request: IncomingMessage): string | undefined {
  const prefix = "base64url.bearer.authorization.k8s.io.";
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((item) => item.trim());
  const found = offered.find((item) => item.startsWith(prefix));
  return found ? Buffer.from(found.slice(prefix.length), "base64url").toString() : undefined;
}

function sameSecret(a: string, b: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
