// SPDX-License-Identifier: Apache-2.0
import { request } from "node:http";
import { Socket } from "node:net";
import { openSocket, SOCK_STREAM } from "#kernel/socket.ts";
import { errorText } from "#lib/errors.ts";
import type { Address } from "#model/ip.ts";
import { CLUSTER_DOMAIN } from "../dns/records.ts";
import { resolveFrom } from "../dns/resolver.ts";
import type { Role } from "./http.ts";

export interface CallsOptions {
  readonly netns: string;
  readonly nameserver: string;
  /** `CALLS` (URLs, by comma), `EVERY` (default 1s), `CALL_TIMEOUT` (default 1s). */
  readonly env: Readonly<Record<string, string>>;
  readonly role: Role;
}

const CACHE_MS = 5_000;

/** Keeps calling what CALLS names, each by a connection of its own from the pod's namespace. Returns what ends it. */
export function startCalls(options: CallsOptions): () => void {
  const { env, role } = options;
  const everyMs = Math.max(20, durationMs(env.EVERY, 1000));
  const timeoutMs = Math.max(50, durationMs(env.CALL_TIMEOUT, 1000));
  const urls = (env.CALLS ?? "").split(",").flatMap((text) => parseUrl(text.trim(), role));
  const resolve = cachedResolver(options);
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const round = async () => {
    for (const url of urls) {
      if (stopped) return;
      await call(url, { options, resolve, timeoutMs });
    }
    if (!stopped) timer = setTimeout(() => void round(), everyMs * (0.9 + Math.random() / 5));
  };
  // Not all pods of a node in the same moment.
  timer = setTimeout(() => void round(), Math.random() * everyMs);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

function parseUrl(text: string, role: Role): URL[] {
  if (text === "") return [];
  try {
    const url = new URL(text);
    if (url.protocol === "http:" || url.protocol === "tcp:") return [url];
  } catch {
    // Said below.
  }
  role.log(`CALLS: "${text}" is not an http:// or tcp:// URL`);
  return [];
}

/** `500ms`, `2s`, `1m`. */
export function durationMs(text: string | undefined, otherwise: number): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text ?? "");
  if (!match) return otherwise;
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000 }[match[2] as "ms" | "s" | "m"];
}

interface Call {
  readonly options: CallsOptions;
  readonly timeoutMs: number;
  resolve(host: string): Promise<Address>;
}

async function call(url: URL, { options, resolve, timeoutMs }: Call): Promise<void> {
  const startMs = performance.now();
  const took = () => `${Math.round(performance.now() - startMs)} ms`;
  try {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const address = await resolve(host);
    const port = Number(url.port || 80);
    const socket = await connectFrom(options.netns, { address, port, timeoutMs });
    if (url.protocol === "tcp:") {
      socket.destroy();
      options.role.log(`${url.href} connected, ${took()}`);
      return;
    }
    const code = await get(url, socket, timeoutMs);
    options.role.log(`GET ${url.href} ${code}, ${took()}`);
  } catch (thrown) {
    options.role.log(
      `${url.protocol === "tcp:" ? "" : "GET "}${url.href} failed after ${took()}: ${errorText(thrown)}`,
    );
  }
}

/** A TCP connection that starts in another network namespace: the socket is made there, Node connects it. */
export function connectFrom(
  netns: string,
  to: { readonly address: Address; readonly port: number; readonly timeoutMs: number },
): Promise<Socket> {
  const fd = openSocket(to.address, SOCK_STREAM, 0, { netns });
  // manualStart: nothing may be read before the connection is there. Known to net.Socket, missing in its types.
  const given = { fd, readable: true, writable: true, manualStart: true };
  const socket = new Socket(given);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error("connection timed out")), to.timeoutMs);
    socket.once("error", reject);
    socket.once("close", () => clearTimeout(timer));
    socket.connect({ host: to.address, port: to.port }, () => {
      clearTimeout(timer);
      socket.off("error", reject);
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}

function get(url: URL, socket: Socket, timeoutMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        createConnection: () => socket,
        path: `${url.pathname}${url.search}`,
        headers: { host: url.host, "user-agent": "weft-stand-in", connection: "close" },
        signal: AbortSignal.timeout(timeoutMs),
      },
      (answer) => {
        answer.resume();
        answer.once("end", () => socket.destroy());
        resolve(answer.statusCode ?? 0);
      },
    );
    outgoing.once("error", reject);
    outgoing.end();
  });
}

function cachedResolver({ netns, nameserver, role }: CallsOptions): (host: string) => Promise<Address> {
  const cache = new Map<string, { address: Address; untilMs: number }>();
  const search = [`${role.namespace}.svc.${CLUSTER_DOMAIN}`, `svc.${CLUSTER_DOMAIN}`, CLUSTER_DOMAIN];
  return async (host) => {
    const found = cache.get(host);
    if (found && found.untilMs > Date.now()) return found.address;
    const [address] = await resolveFrom(host, { netns, nameserver, search });
    if (!address) throw new Error(`${host} has no address`);
    cache.set(host, { address, untilMs: Date.now() + CACHE_MS });
    return address;
  };
}
