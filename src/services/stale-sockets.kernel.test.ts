// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, Socket } from "node:net";
import { after, before, test } from "node:test";
import { pino } from "pino";
import type { LbSock } from "#datapath/layouts/lb-sock.ts";
import type { LbSockKey } from "#datapath/layouts/lb-sock-key.ts";
import { libc } from "#kernel/libc.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { setLink } from "#kernel/netlink/link.ts";
import { listSockets } from "#kernel/netlink/sock-diag.ts";
import { createNetns, deleteNetns } from "#kernel/netns.ts";
import { encodeSockaddr, listenTcp, localPort, openSocket, SOCK_STREAM } from "#kernel/socket.ts";
import { idle } from "#kit/clock.ts";
import { createHealth } from "#lib/health.ts";
import { type Address, parseAddress, prefixOf } from "#model/ip.ts";
import type { Node } from "#nodes/node.ts";
import { nodeTable } from "#nodes/table.ts";
import type { Backend, Frontend } from "#services/service.ts";
import { startStaleSockets } from "#services/stale-sockets.ts";
import { frontendIdTable, frontendTable } from "#services/table.ts";
import { Database } from "#store/table.ts";

const name = `c-stale-${process.pid}`;
let netns: string;
before(() => {
  netns = createNetns(name);
  using netlink = openNetlink({ netns });
  setLink(netlink, "lo", { up: true });
});
after(() => void deleteNetns(name));

/** A service in tables, a backend that listens in the namespace, and sockets to it that a service led there or that went by themselves. */
async function stage(text: string) {
  const address = parseAddress(text);
  const stack = new AsyncDisposableStack();
  const fd = listenTcp(address, 0, { netns });
  const port = localPort(fd);
  const server: Server = createServer((socket) => socket.on("error", () => {}));
  server.listen({ fd });
  stack.defer(() => void server.close());
  const db = new Database();
  const [frontends, frontendIds] = [frontendTable(db), frontendIdTable(db)];
  const pods = db.table<{ readonly address: Address }>({
    name: "pods",
    key: (row) => row.address,
    indexes: { address: (row) => [row.address] },
    columns: [],
  });
  const nodes = nodeTable(db);
  for (const table of [frontends, frontendIds, pods, nodes]) table.source("t").synced();
  const socks: [LbSockKey, LbSock][] = [];
  const cookies = new Set<bigint>();
  const vip = parseAddress(address.includes(":") ? "fd96::9" : "10.96.0.9");
  const backend: Backend = { address, port, proto: 6, ready: true, serving: true, terminating: false };
  const base = { namespace: "shop", name: "web", portName: "", address: vip, port: 80, proto: 6 } as const;
  const serve = (row: Partial<Frontend>) =>
    db.write((tx) => tx.put(frontends, { ...base, type: "ClusterIP", backends: [], ...row }));
  serve({ backends: [backend] });
  const frontend = frontends.keyOf([...frontends.all()][0]!);
  db.write((tx) => {
    tx.put(frontendIds, { id: 7, frontend, namespace: "shop", name: "web", portName: "" });
    tx.put(pods, { address });
  });
  const connect = async (led: boolean) => {
    const fd = openSocket(address, SOCK_STREAM, 0, { netns });
    const to = encodeSockaddr(address, port);
    libc.connect(fd, to, to.length); // over loopback it is connected when this returns, whatever that says
    const socket = new Socket({ fd, readable: true, writable: true }).resume();
    stack.defer(() => void socket.destroy());
    const ended = once(socket, "error").then(([error]) => (error as NodeJS.ErrnoException).code);
    using diag = openNetlink({ netns, protocol: "diag" });
    const found = listSockets(diag, 6).find(
      ({ peerPort, cookie }) => peerPort === port && !cookies.has(cookie),
    );
    assert.ok(found);
    cookies.add(found.cookie);
    if (led)
      socks.push([
        { cookie: found.cookie, addr: address, port, proto: 6 },
        { addr: vip, port: 80, frontend: 7 },
      ]);
    return { ended, socket };
  };
  const stop = new AbortController();
  stack.defer(() => stop.abort());
  const start = () =>
    stack.use(
      startStaleSockets(
        {
          db,
          frontends,
          frontendIds,
          pods,
          nodes,
          reconciler: { waitUntil: () => Promise.resolve() },
          socks: {
            *entries() {
              yield* socks;
            },
          },
          namespaces: () => [netns],
          settleMs: 1,
          health: createHealth(),
          log: pino({ level: "silent" }),
        },
        stop.signal,
      ),
    );
  const podGone = () => db.write((tx) => tx.delete(pods, address));
  const node = (fields: Partial<Node>) => ({
    name: "a",
    uid: "a",
    self: false,
    addresses: [],
    podCidrs: [],
    labels: new Map(),
    ...fields,
  });
  /** The backend is a process of a node's, or of nobody of the cluster. */
  const elsewhere = (ofNode: boolean) =>
    db.write((tx) => {
      tx.delete(pods, address);
      tx.put(nodes, node(ofNode ? { addresses: [address] } : {}));
    });
  const nodeGone = () => db.write((tx) => tx.delete(nodes, "a"));
  db.write((tx) => tx.put(nodes, node({ podCidrs: [prefixOf(address, 8)] })));
  return {
    backend,
    serve,
    connect,
    start,
    podGone,
    elsewhere,
    nodeGone,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

for (const text of ["127.0.0.1", "::1"])
  test(`a TCP connection through a service ends when its backend is gone, and no other does, ${text}`, async () => {
    await using s = await stage(text);
    const direct = await s.connect(false);
    const led = await s.connect(true);
    s.start();
    await idle();
    s.serve({ draining: [s.backend] });
    await idle();
    s.serve({});
    await idle();
    assert.equal(led.socket.destroyed, false, "its pod is still there");
    s.podGone();
    assert.equal(await led.ended, "ECONNABORTED");
    assert.equal(direct.socket.destroyed, false);
    assert.equal(direct.socket.readyState, "open");
  });

test("what went while no agent ran is found at its start", async () => {
  await using s = await stage("127.0.0.1");
  const led = await s.connect(true);
  s.serve({});
  s.podGone();
  s.start();
  assert.equal(await led.ended, "ECONNABORTED");
});

test("one to a process of a node goes on as long as the node is there, one out of the cluster for ever", async () => {
  for (const ofNode of [true, false]) {
    await using s = await stage("127.0.0.1");
    s.elsewhere(ofNode);
    const led = await s.connect(true);
    s.start();
    await idle();
    s.serve({});
    await idle();
    assert.equal(led.socket.destroyed, false);
    s.nodeGone();
    if (ofNode) assert.equal(await led.ended, "ECONNABORTED");
    else {
      await idle();
      assert.equal(led.socket.destroyed, false);
    }
  }
});
