// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { attemptProbe } from "../kubelet/probes.ts";
import { durationMs } from "./calls.ts";
import { createHttpServers, type Role } from "./http.ts";
import { peersInEnv, playedPorts, servicePorts } from "./ports.ts";
import { serveConnection } from "./tcp.ts";

const role: Role = {
  namespace: "shop",
  pod: "cart-1",
  node: "n1",
  container: "c",
  bareName: false,
  log: () => {},
};
const http = createHttpServers(() => role);
const open = new Set<Socket>();
let server: Server;
let port = 0;

before(async () => {
  server = createServer((socket) => {
    open.add(socket);
    serveConnection(socket, role, http);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
});
after(() => {
  for (const socket of open) socket.destroy();
  server.close();
});

const target = { ip: "127.0.0.1", container: { name: "c" }, exec: async () => 0 };

test("probes of every kind are answered on one port", async () => {
  const http = await attemptProbe({ httpGet: { port, path: "/healthz" } }, target);
  const grpc = await attemptProbe({ grpc: { port } }, target);
  const named = await attemptProbe({ grpc: { port, service: "cart" } }, target);
  const tcp = await attemptProbe({ tcpSocket: { port } }, target);
  assert.deepEqual(
    [http.ok, grpc.ok, named.ok, tcp.ok],
    [true, true, true, true],
    JSON.stringify({ http, grpc, named, tcp }),
  );
});

test("a probe of a closed port fails with its reason", async () => {
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const free = (closed.address() as AddressInfo).port;
  closed.close();
  await once(closed, "close");
  assert.match((await attemptProbe({ httpGet: { port: free } }, target)).message, /ECONNREFUSED/);
});

test("HTTP says who answers", async () => {
  const text = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  assert.equal(await text("/"), "shop/cart-1 (c) on n1\n");
  assert.equal(await text("/hostname"), "cart-1");
  assert.equal(await text("/echo?msg=hi"), "hi");
});

const talks: [string, string, string][] = [
  ["a Redis ping", "*1\r\n$4\r\nPING\r\n", "+PONG\r\n"],
  ["an inline Redis ping", "PING\r\n", "+PONG\r\n"],
  ["whatever else", "hello there", "hello there"],
];
for (const [name, sent, wanted] of talks) {
  test(`${name} is answered`, async () => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.write(sent);
    const [reply] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    assert.equal(reply.toString(), wanted);
  });
}

test("ports come from declarations, probes and arguments", () => {
  const ports = playedPorts({
    name: "c",
    ports: [{ containerPort: 53, protocol: "UDP" }, { containerPort: 80 }],
    readinessProbe: { httpGet: { port: 9000 } },
    args: ["netexec", "--http-port=8080", "--udp-port", "8081"],
  });
  assert.deepEqual(
    ports.map(({ protocol, port: number }) => `${number}/${protocol}`),
    ["53/UDP", "80/TCP", "9000/TCP", "8080/TCP", "8081/UDP"],
  );
});

test("a service's number is played where the pod declares no such port", () => {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "shop", labels: { app: "web" } },
    spec: { containers: [{ name: "c", ports: [{ containerPort: 80 }] }] },
  };
  const spec = {
    selector: { app: "web" },
    ports: [{ port: 80 }, { port: 81, targetPort: 8081 }, { port: 82, targetPort: "named" }],
  };
  const service = { apiVersion: "v1", kind: "Service", metadata: { name: "s", namespace: "shop" }, spec };
  assert.deepEqual(servicePorts(pod, [service]), [{ protocol: "TCP", port: 8081 }]);
});

test("durations are read, with a default for anything else", () => {
  assert.deepEqual(
    [durationMs("500ms", 1), durationMs("1.5s", 1), durationMs("2m", 1), durationMs("soon", 7)],
    [500, 1500, 120_000, 7],
  );
});

test("peers are what the manifest's own variables name with a port", () => {
  const env = [
    { name: "CART_ADDR", value: "cart:7070" },
    { name: "API_URL", value: "http://api.shop:80/v1" },
    { name: "DB_HOST", value: "db" },
    { name: "RATIO", value: "1:2" },
    { name: "LISTEN_ADDR", value: ":8080" },
  ];
  assert.deepEqual(peersInEnv({ name: "c", env }), ["tcp://cart:7070", "tcp://api.shop:80"]);
});
