// SPDX-License-Identifier: Apache-2.0
import { chmodSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Health } from "#api/gen/health/health_pb.ts";
import { Observer } from "#api/gen/observer/observer_pb.ts";
import { Peer } from "#api/gen/peer/peer_pb.ts";
import { WeftError } from "#lib/errors.ts";
import { healthService, hubbleHealthName } from "./health.ts";
import type { ListenAddress } from "./messages.ts";

export interface RpcServer extends AsyncDisposable {
  /** The TCP port, also when 0 was asked for. */
  readonly tcpPort: number | undefined;
}

export interface FlowServices {
  readonly observer: ServiceImpl<typeof Observer>;
  readonly peer?: ServiceImpl<typeof Peer>;
}

/**
 * Serves gRPC (HTTP/2 without TLS) on a unix socket of mode 0600, a TCP address, or both. Disposing ends all streams.
 * @throws WeftError E_LISTEN naming the address
 */
export async function startRpcServer(listen: ListenAddress, services: FlowServices): Promise<RpcServer> {
  const { unix, tcp } = listen;
  const shutdown = new AbortController();
  let ownsSocket = false;
  const handler = connectNodeAdapter({
    routes: (router) => addRoutes(router, services),
    connect: false,
    grpcWeb: false,
    shutdownSignal: shutdown.signal,
  });
  const servers: { server: Http2Server; sessions: Set<ServerHttp2Session> }[] = [];
  const open = async (label: string, bind: (server: Http2Server) => void) => {
    const server = createServer(handler);
    const sessions = new Set<ServerHttp2Session>();
    server.on("session", (session) => {
      sessions.add(session);
      session.once("close", () => sessions.delete(session));
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) =>
        reject(new WeftError("E_LISTEN", `cannot serve flows on ${label}`, { cause })),
      );
      server.once("listening", resolve);
      bind(server);
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
    const tcpServer =
      tcp && (await open(`${tcp.host}:${tcp.port}`, (server) => server.listen(tcp.port, tcp.host)));
    if (unix !== undefined) await open(unix, (server) => listenUnix(server, unix));
    ownsSocket = unix !== undefined;
    return { tcpPort: (tcpServer?.address() as AddressInfo | undefined)?.port, [Symbol.asyncDispose]: close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
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

async function closeServer(server: Http2Server, sessions: Set<ServerHttp2Session>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const session of sessions) session.destroy();
  await closed;
}
