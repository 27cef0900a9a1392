// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { frontendsOf, targetOf, traceText } from "#cli/service-trace.ts";

const names = ["FRONTEND", "SERVICE", "TYPE", "BACKEND", "ON", "STATE", "SHARE", "REASON", "ALGORITHM"];
const columns = [...names, "AFFINITY-SEC", "RANGES", "ELSEWHERE"].map((name) => ({ name }));
const [vip, one, two] = ["10.96.0.10:80/TCP", "10.0.0.1:8080/TCP", "10.0.0.2:8080/TCP"];

test("an address and port names a frontend, a name a service", () => {
  assert.deepEqual(
    ["10.96.0.10:80", "10.96.0.10:53/udp", "[FD00::a]:80", "shop/web", "shop/web:80"].map(targetOf),
    [
      { frontend: vip },
      { frontend: "10.96.0.10:53/UDP" },
      { frontend: "[fd00::a]:80/TCP" },
      { service: "shop/web", port: undefined },
      { service: "shop/web", port: "80" },
    ],
  );
  for (const text of ["web", "10.96.0.10", "fd00::a:80", "10.96.0.10:80/icmp", "shop/web:http"])
    assert.throws(() => targetOf(text), { code: "E_USAGE" });
});

test("a service's frontends are meant once each, or those with a port", () => {
  const keys = [vip, vip, `${vip}/local`, "[fd00::a]:80/TCP", "10.0.9.9:30001/TCP"];
  const rows = [...keys.map((key) => [key, "shop/web"]), ["10.96.0.11:80/TCP", "shop/other"]];
  const of = (text: string) => frontendsOf({ columns, rows }, targetOf(text));
  assert.deepEqual(of("shop/web"), [vip, "[fd00::a]:80/TCP", "10.0.9.9:30001/TCP"]);
  assert.deepEqual(of("shop/web:30001"), ["10.0.9.9:30001/TCP"]);
  assert.deepEqual(of("10.96.0.99:80"), ["10.96.0.99:80/TCP"], "whoever has it");
  for (const text of ["shop/web:81", "shop/none"]) assert.throws(() => of(text), { code: "E_NOT_FOUND" });
});

test("a trace names path, rule and backends, and why others get nothing", () => {
  const rows = [
    [vip, "shop/web", "ClusterIP", one, "n1", "active", "100%", "", "random", 60, "", false],
    [vip, "shop/web", "ClusterIP", two, "n2", "draining", "0%", "not ready", "random", 60, "", false],
  ];
  const text = traceText({ columns, rows }, vip, { node: "n1", pod: "shop/x" });
  assert.match(text, /^10\.96\.0\.10:80\/TCP is shop\/web \(ClusterIP\), asked on node n1$/m);
  assert.match(text, /^path: at the socket of shop\/x/m);
  assert.match(text, /^choice: the client's last one within 60 s, else by chance/m);
  assert.match(text, /^ {2}→ 10\.0\.0\.1:8080\/TCP 100% on n1$/m);
  assert.match(text, /^ {2}✗ 10\.0\.0\.2:8080\/TCP on n2: not ready; what is open goes on$/m);
  assert.throws(() => traceText({ columns, rows }, two, { node: "n1" }), { code: "E_NOT_FOUND" });
});

test("a NodePort on loopback is for the node's own processes alone", () => {
  const key = "127.0.0.1:30001/TCP";
  const rows = [[key, "shop/web", "NodePort", one, "n1", "active", "100%", "", "random", 0, "", false]];
  const text = traceText({ columns, rows }, key, { node: "n1" });
  assert.match(text, /^path: none from outside; the node's own processes: at the socket$/m);
  assert.match(
    traceText({ columns, rows }, key, { pod: "a/b" }),
    /^path: none: the loopback of a\/b is its/m,
  );
});

test("from outside the frontend of scope local speaks; none there is silence", () => {
  const why = "on another node, and the externalTrafficPolicy is Local";
  const row = (key: string, state: string, reason: string, elsewhere: boolean) => {
    const shown = [state, state === "active" ? "100%" : "0%", reason, "maglev", 0, "", elsewhere];
    return [key, "shop/web", "LoadBalancer", two, "n2", ...shown];
  };
  const rows = [row(vip, "active", "", false), row(`${vip}/local`, "unused", why, true)];
  const outside = traceText({ columns, rows }, vip, { node: "n1" });
  assert.match(outside, /nobody answers here: silence/);
  assert.match(outside, /✗ 10\.0\.0\.2:8080\/TCP on n2: on another node/);
  assert.match(traceText({ columns, rows }, vip, { node: "n1", pod: "a/b" }), /→ 10\.0\.0\.2/);
});

test("an address that two services claim is the older one's; the trace names the other", () => {
  const lost = [
    vip,
    "shop/new",
    "ExternalIP",
    "",
    "",
    "lost",
    "0%",
    "Service shop/web is older",
    "random",
    0,
  ];
  const has = [vip, "shop/web", "ExternalIP", one, "n1", "active", "100%", "", "random", 0, "", false];
  const text = traceText({ columns, rows: [[...lost, "", false], has] }, vip, { node: "n1" });
  assert.match(
    text,
    /is shop\/web \(ExternalIP\), asked on node n1\nclaimed by shop\/new too, which is younger\n/,
  );
  assert.doesNotMatch(text, /✗/);
});

test("the path from outside says who answers on the wire, at which hook, and what a backend elsewhere sees", () => {
  const more = ["FORWARDING", "DISPATCH", "XDP"].map((name) => ({ name }));
  const row = (...ways: readonly string[]) => {
    return [
      vip,
      "shop/web",
      "LoadBalancer",
      one,
      "n1",
      "active",
      "100%",
      "",
      "random",
      0,
      "",
      false,
      ...ways,
    ];
  };
  const path = (...ways: readonly string[]) => {
    const grid = { columns: [...columns, ...more], rows: [row(...ways)] };
    return traceText(grid, vip, { node: "n2", announced: "n2 eth0" }).split("\n").slice(1, 3);
  };
  assert.deepEqual(path("snat", "", ""), [
    "announced on the wire by n2 eth0",
    "path: from outside: from_device, packet by packet; a backend on another node sees the node's address",
  ]);
  assert.match(
    path("dsr", "geneve", "eth0")[1]!,
    /XDP on eth0 for a backend on another node, else from_device, .* the client's address .*\(dsr by geneve\)$/,
  );
});
