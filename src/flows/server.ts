// SPDX-License-Identifier: Apache-2.0
import { chmodSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { createServer, type Http2SecureServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Health } from "#api/gen/health/health_pb.ts";
import { Observer } from "#api/gen/observer/observer_pb.ts";
import { Peer } from "#api/gen/peer/peer_pb.ts";
import { WeftError } from "#lib/errors.ts";
import { listenHint } from "#lib/metrics.ts";
import { healthService, hubbleHealthName } from "./health.ts";
import type { ListenAddress } from "./messages.ts";
import { secureServer } from "./tls.ts";

type AnyServer = Http2Server | Http2SecureServer;

export interface RpcServer extends AsyncDisposable {
  /** The TCP port, also when 0 was asked for. */
  readonly tcpPort: number | undefined;
  /** Likewise of the one with TLS. */
  readonly tlsPort: number | undefined;
}

export interface FlowServices {
  readonly observer: ServiceImpl<typeof Observer>;
  readonly peer?: ServiceImpl<typeof Peer>;
}

/**
 * Serves gRPC (HTTP/2) on a unix socket of mode 0600, on a TCP address and on one with TLS, or some of them. Disposing ends all streams.
 * @throws WeftError E_LISTEN naming the address, E_TLS
 */
export async function startRpcServer(listen: ListenAddress, services: FlowServices): Promise<RpcServer> {
  const { unix, tcp, tls } = listen;
  const shutdown = new AbortController();
  let ownsSocket = false;
  const handler = connectNodeAdapter({
    routes: (router) => addRoutes(router, services),
    connect: false,
    grpcWeb: false,
    shutdownSignal: shutdown.signal,
  });
  const servers: { server: AnyServer; sessions: Set<ServerHttp2Session> }[] = [];
  const open = async (label: string, server: AnyServer, bind: () => void) => {
    const sessions = new Set<ServerHttp2Session>();
    server.on("session", (session) => {
      sessions.add(session);
      session.once("close", () => sessions.delete(session));
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) =>
        reject(
          new WeftError("E_LISTEN", `cannot serve flows on ${label}`, { cause, hint: listenHint(cause) }),
        ),
      );
      server.once("listening", resolve);
      bind();
    });
    servers.push({ server, sessions });
    return server;
  };
  const close = async () => {
    shutdown.abort();
    await Promise.all(servers.map(({ server, sessions }) => closeServer(server, sessions)));
    if (ownsSocket) rmSync(unix!, { force: true });
  };
  try {
    // The port first: when it is another server's, the socket may be that server's too and must stay.
    const at = async ({ host, port }: { host: string; port: number }, server: AnyServer) =>
      await open(`${host}:${port}`, server, () => server.listen(port, host));
    const tcpServer = tcp && (await at(tcp, createServer(handler)));
    const tlsServer = tls && (await at(tls, secureServer(tls, handler)));
    if (unix !== undefined) {
      const server = createServer(handler);
      await open(unix, server, () => listenUnix(server, unix));
    }
    ownsSocket = unix !== undefined;
    return { tcpPort: portOf(tcpServer), tlsPort: portOf(tlsServer), [Symbol.asyncDispose]: close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

function portOf(server: AnyServer | undefined): number | undefined {
  return (server?.address() as AddressInfo | undefined)?.port;
}

function addRoutes(router: ConnectRouter, { observer, peer }: FlowServices): void {
  router.service(Observer, observer);
  if (peer) router.service(Peer, peer);
  router.service(
    Health,
    healthService([Observer.typeName, hubbleHealthName, ...(peer ? [Peer.typeName] : [])]),
  );
}

/** Binds beside the path and renames: nobody finds the socket before its mode is set. */
function listenUnix(server: Http2Server, path: string): void {
  const beside = `${path}.new`;
  mkdirSync(dirname(path), { recursive: true });
  rmSync(beside, { force: true });
  server.prependOnceListener("listening", () => {
    chmodSync(beside, 0o600);
    renameSync(beside, path);
  });
  server.listen(beside);
}

async function closeServer(server: AnyServer, sessions: Set<ServerHttp2Session>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const session of sessions) session.destroy();
  await closed;
}
