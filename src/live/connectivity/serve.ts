// SPDX-License-Identifier: Apache-2.0
// Runs in the test's pods.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";

const question = "who\n";

/** Answers on TCP and UDP ports of both families: who it is to a question, and anything else as it came. */
export async function serveEcho(name: string, ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.once("data", (first: Buffer) => {
        if (first.toString() === question) {
          socket.end(`${name} ${plain(socket.remoteAddress ?? "")}\n`);
          return;
        }
        socket.write(first);
        socket.pipe(socket);
      });
    });
    server.listen(port, "::");
    await once(server, "listening");
    for (const address of ownAddresses()) await serveUdp(name, address, port);
  }
}

/** Each address has a socket of its own: one for all would answer from the address nearest to the asker. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address }) => address)
    .filter((address) => !address.startsWith("fe80:"));
}

async function serveUdp(name: string, address: string, port: number): Promise<void> {
  const udp = createSocket({ type: address.includes(":") ? "udp6" : "udp4", recvBufferSize: 1 << 20 });
  udp.on("message", (message, from) => {
    const answer = message.toString() === question ? Buffer.from(`${name} ${from.address}\n`) : message;
    udp.send(answer, from.port, from.address);
  });
  udp.bind(port, address);
  await once(udp, "listening");
  udp.on("error", () => {});
}

function plain(address: string): string {
  return address.replace(/^::ffff:/, "");
}
