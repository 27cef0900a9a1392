// SPDX-License-Identifier: Apache-2.0
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { bindUdp, listenTcp } from "#kernel/socket.ts";
import { errorText } from "#lib/errors.ts";
import { parseAddress } from "#model/ip.ts";
import { byFamily, type Families } from "../layout.ts";
import { createHttpServers, type HttpServers, type Role } from "./http.ts";
import type { PlayedPort } from "./ports.ts";
import { serveConnection } from "./tcp.ts";

export interface PlayOptions {
  /** Path of the pod's network namespace, where the sockets are opened. */
  readonly netns: string;
  readonly families: Families;
  readonly ports: readonly PlayedPort[];
  readonly role: Role;
}

/** Plays containers: sockets in the pods' namespaces, all served by this process. */
export interface Player {
  /** Opens the sockets. A port that another container of the pod has already is left to it, with a line in the log. */
  play(options: PlayOptions): Playing;
}

export interface Playing {
  /** Further ports; those open already stay as they are. */
  listen(ports: readonly PlayedPort[]): void;
  /** Closes the sockets and their connections. */
  close(): void;
}

const wildcard = { v4: parseAddress("0.0.0.0"), v6: parseAddress("::") };

export function createPlayer(): Player {
  const roles = new WeakMap<Socket, Role>();
  const servers = createHttpServers((socket) => roles.get(socket));
  return {
    play(options) {
      const closers = new Map<string, (() => void)[]>();
      const listen = (ports: readonly PlayedPort[]) => {
        for (const played of ports) {
          const key = `${played.port}/${played.protocol}`;
          if (!closers.has(key)) closers.set(key, openPort(played, { options, roles, servers }));
        }
      };
      listen(options.ports);
      return {
        listen,
        close: () => {
          for (const close of [...closers.values()].flat()) close();
          closers.clear();
        },
      };
    },
  };
}

function openPort({ protocol, port }: PlayedPort, deps: TcpDeps): (() => void)[] {
  const { netns, role, families } = deps.options;
  const closers: (() => void)[] = [];
  for (const family of byFamily(families, "v4" as const, "v6" as const)) {
    try {
      const where = { netns, v6Only: family === "v6" };
      closers.push(
        protocol === "TCP"
          ? serveTcp(listenTcp(wildcard[family], port, where), deps)
          : serveUdp(bindUdp(wildcard[family], port, where), family, role),
      );
    } catch (thrown) {
      role.log(`cannot listen on ${port}/${protocol}: ${errorText(thrown)}`);
    }
  }
  if (closers.length > 0) role.log(`listening on ${port}/${protocol}`);
  return closers;
}

interface TcpDeps {
  readonly options: PlayOptions;
  readonly roles: WeakMap<Socket, Role>;
  readonly servers: HttpServers;
}

function serveTcp(fd: number, { options, roles, servers }: TcpDeps): () => void {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    roles.set(socket, options.role);
    serveConnection(socket, options.role, servers);
  });
  server.on("error", (error) => options.role.log(`server: ${error.message}`));
  server.listen({ fd });
  return () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
}

/** Echo, and the three words test programs send: `hostname`, `echo TEXT`, `clientip`. */
function serveUdp(fd: number, family: "v4" | "v6", role: Role): () => void {
  const socket: UdpSocket = createSocket(family === "v4" ? "udp4" : "udp6");
  socket.on("error", (error) => role.log(`udp: ${error.message}`));
  socket.on("message", (message, from) => {
    const [word, ...rest] = message.toString("latin1", 0, 256).trim().split(" ");
    let reply: Buffer = message;
    if (word === "hostname") reply = Buffer.from(role.pod);
    else if (word === "clientip") reply = Buffer.from(`${from.address}:${from.port}`);
    else if (word === "echo") reply = Buffer.from(rest.join(" "));
    socket.send(reply, from.port, from.address, () => {});
  });
  socket.bind({ fd });
  return () => socket.close();
}
