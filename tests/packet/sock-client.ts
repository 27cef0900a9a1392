// SPDX-License-Identifier: Apache-2.0
/**
 * The process of sock.kernel.test.ts: backends and clients of services, in one network namespace and cgroup. Waits for a
 * line on stdin, then prints what its sockets saw as one line of JSON. At the next line it closes the sockets and says so with
 * another line; it ends with stdin.
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

const BACKEND_PORT = 18_080;
/** Resolves when the socket is closed. */
const closing: (() => Promise<unknown>)[] = [];

/** "address port answer" of each attempt, or an error's code. */
export type Seen = typeof seen;

async function tcp(host: string, port: number): Promise<string> {
  const socket = connect({ host, port });
  closing.push(() => (socket.closed ? Promise.resolve() : once(socket.destroy(), "close")));
  try {
    await once(socket, "connect");
    const seen = `${socket.remoteAddress} ${socket.remotePort}`;
    socket.write("ping");
    const [answer] = (await once(socket, "data")) as [Buffer];
    return `${seen} ${answer.toString()}`;
  } catch (error) {
    return codeOf(error);
  }
}

async function answerOf(socket: UdpSocket): Promise<string> {
  const [answer, from] = (await once(socket, "message")) as [Buffer, { address: string; port: number }];
  return `${from.address} ${from.port} ${answer.toString()}`;
}

async function udp(type: "udp4" | "udp6", host: string, port: number): Promise<string> {
  const socket = createSocket(type);
  closing.push(() => {
    const closed = once(socket, "close");
    socket.close();
    return closed;
  });
  try {
    const answer = answerOf(socket);
    socket.send("ping", port, host);
    return await answer;
  } catch (error) {
    return codeOf(error);
  }
}

async function udpConnected(type: "udp4" | "udp6", host: string, port: number): Promise<string> {
  const socket = createSocket(type);
  closing.push(() => {
    const closed = once(socket, "close");
    socket.close();
    return closed;
  });
  try {
    socket.connect(port, host);
    await once(socket, "connect");
    const { address } = socket.remoteAddress();
    const answer = answerOf(socket);
    socket.send("ping");
    return `${address} ${await answer}`;
  } catch (error) {
    return codeOf(error);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

async function serve(host: string, type: "udp4" | "udp6"): Promise<void> {
  const server = createServer((socket) => socket.pipe(socket).on("error", () => {}));
  server.listen(BACKEND_PORT, host);
  await once(server, "listening");
  const echo = createSocket(type);
  echo.on("message", (message, from) => echo.send(message, from.port, from.address));
  echo.bind(BACKEND_PORT, host);
  await once(echo, "listening");
}

const lines = createInterface(process.stdin)[Symbol.asyncIterator]();
const answer = (line: string) => new Promise<void>((done) => process.stdout.write(`${line}\n`, () => done()));
await lines.next();
await serve("127.0.0.1", "udp4");
await serve("::1", "udp6");
const seen = {
  tcp4: await tcp("10.96.0.1", 80),
  tcp6: await tcp("fd00:96::1", 80),
  mapped: await tcp("::ffff:10.96.0.1", 80),
  direct: await tcp("127.0.0.1", BACKEND_PORT),
  refused4: await tcp("10.96.0.1", 81),
  refused6: await tcp("fd00:96::1", 81),
  udp4: await udp("udp4", "10.96.0.1", 53),
  udp6: await udp("udp6", "fd00:96::1", 53),
  udpConnected4: await udpConnected("udp4", "10.96.0.1", 53),
  udpConnected6: await udpConnected("udp6", "fd00:96::1", 53),
};
await answer(JSON.stringify(seen));
await lines.next();
await Promise.all(closing.map((close) => close()));
await answer("closed");
await lines.next();
process.exit(0);
