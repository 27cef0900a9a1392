// SPDX-License-Identifier: Apache-2.0
/** One end of a connection, driven from outside: `listen ADDRESS PORT` or `connect ADDRESS PORT`; stdin goes to the other end, what comes to stdout. */
import { connect, createServer, type Socket } from "node:net";

const [manner, host = "", port] = process.argv.slice(2);

function talk(socket: Socket): void {
  process.stdin.pipe(socket);
  socket.on("data", (bytes) => process.stdout.write(bytes));
  socket.on("error", (error) => process.stderr.write(`${error.message}\n`));
  socket.on("close", () => process.exit(0));
}

if (manner === "listen") {
  const server = createServer((socket) => {
    talk(socket.setNoDelay());
    process.stdout.write("ready\n");
  });
  server.listen(Number(port), host, () => process.stdout.write("listening\n"));
} else {
  const socket = connect({ host, port: Number(port), noDelay: true }, () => process.stdout.write("ready\n"));
  talk(socket);
}
