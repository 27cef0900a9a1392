// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { closeSync, readdirSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { addAddress } from "#kernel/netlink/address.ts";
import { type Netlink, openNetlink } from "#kernel/netlink/handle.ts";
import { addVeth, linkIndex, setLink } from "#kernel/netlink/link.ts";
import { addRoute } from "#kernel/netlink/route.ts";
import { createNetns, deleteNetns } from "#kernel/netns.ts";
import { type Probe, runProbe, runProbes } from "#kernel/probe.ts";
import {
  bindUdp,
  decodeSockaddr,
  encodeSockaddr,
  endpointText,
  listenTcp,
  localPort,
} from "#kernel/socket.ts";
import { type Address, parseAddress, parsePrefix } from "#model/ip.ts";

const CLIENT = `wpr-${process.pid}-client`;
const SERVER = `wpr-${process.pid}-server`;
const V4 = "10.66.0.2" as Address;
const V6 = "fd66::2" as Address;

describe("sockets in other namespaces and probes", { timeout: 60_000 }, () => {
  let client: string;
  let server: string;
  let tcp: Server;
  let udp: UdpSocket;
  let tcpPort: number;
  let udpPort: number;
  const handles: Netlink[] = [];

  const wire = (netlink: Netlink, name: string, last: number) => {
    handles.push(netlink);
    const link = linkIndex(netlink, name);
    setLink(netlink, "lo", { up: true });
    setLink(netlink, link, { up: true });
    addAddress(netlink, { link, address: `10.66.0.${last}` as Address, bits: 24 });
    addAddress(netlink, { link, address: `fd66::${last}` as Address, bits: 64, noDad: true });
    return link;
  };

  before(async () => {
    client = createNetns(CLIENT);
    server = createNetns(SERVER);
    const netlink = openNetlink({ netns: client });
    addVeth(netlink, { name: "c0", peer: { name: "s0", netns: server } });
    const link = wire(netlink, "c0", 1);
    wire(openNetlink({ netns: server }), "s0", 2);
    // Behind the server nobody answers, and 10.99.0.0/16 has no way at all.
    addRoute(netlink, { dst: "10.98.0.0/16" as never, link, gateway: V4 });
    addRoute(netlink, { dst: "10.99.0.0/16" as never, type: "unreachable" });
    const fd = listenTcp("::" as Address, 0, { netns: server });
    tcpPort = localPort(fd);
    tcp = createServer((socket) => socket.end()).listen({ fd });
    const udpFd = bindUdp("::" as Address, 0, { netns: server });
    udpPort = localPort(udpFd);
    udp = createSocket("udp6");
    udp.on("message", (message, from) => udp.send(message, from.port, from.address));
    // With an fd, bind is done at once.
    const listening = once(udp, "listening");
    udp.bind({ fd: udpFd });
    await listening;
  });
  after(() => {
    tcp.close();
    udp.close();
    for (const handle of handles) handle[Symbol.dispose]();
    for (const name of [CLIENT, SERVER]) deleteNetns(name);
  });

  const to = (protocol: Probe["protocol"], address: string, port: number): Probe => ({
    protocol,
    to: address as Address,
    port,
    netns: client,
  });

  test("tell connected, refused, silent and unreachable apart, in both families", async () => {
    const asked = [
      ...[V4, V6].flatMap((at) => [to("TCP", at, tcpPort), to("UDP", at, udpPort), to("ICMP", at, 0)]),
      ...[V4, V6].flatMap((at) => [to("TCP", at, 9), to("UDP", at, 9)]),
      to("TCP", "10.98.0.1", 80),
      to("UDP", "10.98.0.1", 80),
      to("ICMP", "10.98.0.1", 0),
      to("TCP", "10.99.0.1", 80),
      { ...to("TCP", V4, tcpPort), netns: "/run/netns/no-such" },
    ];
    const results = await runProbes(asked, { timeoutMs: 150 });
    assert.deepEqual(
      results.map((result) => result.outcome),
      [
        ...Array(6).fill("connected"),
        ...Array(4).fill("refused"),
        ...Array(3).fill("timeout"),
        "failed",
        "failed",
      ],
    );
    assert.deepEqual(
      results.slice(-2).map((result) => result.errno),
      ["EHOSTUNREACH", "E_NETNS"],
    );
    for (const result of results) assert.ok(result.ms >= 0 && result.ms < 1000);
  });

  test("five hundred attempts at once leave no socket open and do not hold the thread", async () => {
    const fds = () => readdirSync("/proc/self/fd").length;
    const before = fds();
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const many = Array.from({ length: 500 }, (_, i) =>
      to(i % 2 ? "ICMP" : "UDP", i % 3 ? V4 : V6, i % 2 ? 0 : udpPort),
    );
    const results = await runProbes(many, { timeoutMs: 2000, concurrency: 100 });
    clearInterval(timer);
    assert.deepEqual(
      results.filter((result) => result.outcome !== "connected"),
      [],
    );
    assert.ok(turns >= 3, `the loop turned ${turns} times`);
    assert.equal(fds(), before);
  });

  test("an abort ends the wait and closes the sockets", async () => {
    const fds = () => readdirSync("/proc/self/fd").length;
    const before = fds();
    const abort = new AbortController();
    const waiting = runProbe(to("TCP", "10.98.0.1", 80), { timeoutMs: 60_000, signal: abort.signal });
    setImmediate(() => abort.abort());
    await assert.rejects(waiting, { name: "AbortError" });
    assert.equal(fds(), before);
  });

  test("comes from an address that is the namespace's own by a route alone", async () => {
    const [there] = handles;
    const lo = linkIndex(there!, "lo");
    addRoute(there!, { dst: parsePrefix("2001:db8::/64"), link: lo, type: "local" });
    const back = { dst: parsePrefix("2001:db8::/64"), link: linkIndex(handles[1]!, "s0") };
    addRoute(handles[1]!, { ...back, gateway: parseAddress("fd66::1") });
    const source = parseAddress("2001:db8::7");
    for (const [protocol, port] of [
      ["TCP", tcpPort],
      ["UDP", udpPort],
      ["ICMP", 0],
    ] as const) {
      const probe = { protocol, to: V6, port, netns: client, source } as const;
      // The device asks for its neighbour only when its own address is checked.
      const { outcome } = await runProbe(probe, { timeoutMs: 10_000 });
      assert.equal(outcome, "connected", protocol);
    }
  });

  test("a port in use is an error with its errno", () => {
    const fd = listenTcp(V4, 0, { netns: server });
    try {
      const port = localPort(fd);
      assert.throws(() => listenTcp(V4, port, { netns: server }), {
        errno: "EADDRINUSE",
        message: `bind ${endpointText(V4, port)}: address already in use`,
      });
      assert.throws(() => listenTcp("10.66.0.77" as Address, 0, { netns: server }), {
        errno: "EADDRNOTAVAIL",
      });
    } finally {
      closeSync(fd);
    }
  });

  test("socket addresses come back from their bytes", () => {
    for (const address of [V4, V6]) {
      assert.deepEqual(decodeSockaddr(encodeSockaddr(address, 8472)), { address, port: 8472 });
    }
    assert.equal(decodeSockaddr(new Uint8Array(16)), undefined);
    assert.equal(decodeSockaddr(new Uint8Array(3)), undefined);
  });
});
