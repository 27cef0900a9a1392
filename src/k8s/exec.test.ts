// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { test } from "node:test";
import { type WebSocket, WebSocketServer } from "ws";
import { createKubeClient, type KubeClient } from "#k8s/client.ts";
import { KubeError } from "#k8s/errors.ts";
import { execText, startExec } from "./exec.ts";
import { connectPod } from "./port-forward.ts";

/** An API server that upgrades every connection and hands it to `serve`. */
async function server(serve: (socket: WebSocket, request: IncomingMessage) => void) {
  const http = createServer((_request, answer) => answer.writeHead(404).end());
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => [...offered][0] ?? false,
  });
  http.on("upgrade", (request, socket, head) => {
    if (request.url?.includes("/forbidden/")) {
      const body = '{"kind":"Status","message":"pods \\"forbidden\\" is forbidden","reason":"Forbidden"}';
      socket.end(
        `HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
      return;
    }
    sockets.handleUpgrade(request, socket, head, (opened) => serve(opened, request));
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const client: KubeClient = createKubeClient({
    server: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    namespace: "default",
    insecure: false,
    token: async () => "s3cret",
  });
  return {
    client,
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      for (const socket of sockets.clients) socket.terminate();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

const at = { namespace: "x", pod: "p", container: "c" };
const signal = AbortSignal.timeout(20_000);
const frame = (channel: number, text: string) => Buffer.concat([Buffer.of(channel), Buffer.from(text)]);
const failed = (code: number) =>
  frame(
    3,
    JSON.stringify({
      status: "Failure",
      reason: "NonZeroExitCode",
      details: { causes: [{ reason: "ExitCode", message: String(code) }] },
    }),
  );

test("a command's output comes on its channels, its exit code in the end status", async () => {
  let url = "";
  await using made = await server((socket, request) => {
    url = request.url ?? "";
    assert.equal(request.headers.authorization, "Bearer s3cret");
    socket.send(frame(1, ""));
    socket.send(frame(1, "out "));
    socket.send(frame(2, "err"));
    socket.send(frame(1, "put"));
    socket.send(failed(7));
  });
  const result = await execText(made.client, at, { command: ["ls", "a b"], signal });
  assert.deepEqual(result, { code: 7, stdout: "out put", stderr: "err" });
  assert.equal(
    url,
    "/api/v1/namespaces/x/pods/p/exec?command=ls&command=a+b&container=c&stdin=false&stdout=true&stderr=true&tty=false",
  );
});

test("input is written to the command, which ends with its end", async () => {
  await using made = await server((socket) => {
    socket.on("message", (raw: Buffer) => {
      if (raw[0] === 0) socket.send(frame(1, raw.subarray(1).toString().toUpperCase()));
      if (raw[0] === 255 && raw[1] === 0) socket.send(frame(3, '{"status":"Success"}'));
    });
  });
  let out = "";
  const options = { command: ["cat"], signal, stdin: true, stderr: () => {} };
  const exec = await startExec(made.client, at, {
    ...options,
    stdout: (chunk) => {
      out += chunk;
      exec.close();
    },
  });
  exec.write("abc");
  assert.equal(await exec.ended, 0);
  assert.equal(out, "ABC");
});

test("refusals, a lost connection and too much output are errors that say so", async () => {
  await using made = await server((socket, request) => {
    if (request.url?.includes("flood")) socket.send(frame(1, "x".repeat(100)));
    else if (request.url?.includes("missing"))
      socket.send(frame(3, '{"status":"Failure","reason":"InternalError","message":"no such file"}'));
    else socket.terminate();
  });
  const run = (command: string, pod = "p") =>
    execText(made.client, { ...at, pod }, { command: [command], signal, maxBytes: 50 });
  await assert.rejects(run("x", "forbidden"), (thrown: KubeError) => {
    assert.equal(thrown.status, 403);
    assert.match(thrown.message, /"forbidden" is forbidden/);
    return true;
  });
  await assert.rejects(run("missing"), /exec in pod x\/p: no such file/);
  await assert.rejects(run("flood"), { code: "E_TOO_LONG" });
  await assert.rejects(run("x"), KubeError);
});

test("an aborted signal ends a command", async () => {
  await using made = await server(() => {});
  const stop = new AbortController();
  const running = execText(made.client, at, { command: ["sleep"], signal: stop.signal });
  stop.abort(new Error("enough"));
  await assert.rejects(running, /enough/);
});

test("a port-forward carries a connection both ways and says when nobody listens", async () => {
  const echo = createTcpServer((socket) => socket.pipe(socket));
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  await using made = await server((socket, request) => {
    const port = Number(new URL(request.url ?? "", "http://x").searchParams.get("ports"));
    const number = Buffer.alloc(2);
    number.writeUInt16LE(port);
    for (const channel of [0, 1]) socket.send(Buffer.concat([Buffer.of(channel), number]));
    if (port === 1) {
      socket.send(frame(1, "connection refused"));
      return;
    }
    const tcp = connect(port, "127.0.0.1");
    tcp.on("data", (data: Buffer) => socket.send(Buffer.concat([Buffer.of(0), data])));
    socket.on("message", (raw: Buffer) => tcp.write(raw.subarray(1)));
    socket.on("close", () => tcp.destroy());
  });
  const where = { namespace: "x", pod: "p" };
  const stream = connectPod(made.client, { ...where, port: (echo.address() as AddressInfo).port }, signal);
  const sent = Buffer.alloc(3_000_000, "weft");
  stream.write(sent);
  const received: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    received.push(chunk);
    size += chunk.length;
    if (size >= sent.length) break;
  }
  assert.ok(Buffer.concat(received).equals(sent));
  echo.close();
  const refused = connectPod(made.client, { ...where, port: 1 }, signal);
  await assert.rejects(once(refused, "data"), /port 1 of pod x\/p: connection refused/);
});
