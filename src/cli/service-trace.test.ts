// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { frontendOf, traceText } from "#cli/service-trace.ts";

const names = ["FRONTEND", "SERVICE", "TYPE", "BACKEND", "ON", "STATE", "SHARE", "REASON", "ALGORITHM"];
const columns = [...names, "AFFINITY-SEC", "RANGES", "ELSEWHERE"].map((name) => ({ name }));
const [vip, one, two] = ["10.96.0.10:80/TCP", "10.0.0.1:8080/TCP", "10.0.0.2:8080/TCP"];

test("an address and port names a frontend", () => {
  assert.deepEqual(["10.96.0.10:80", "10.96.0.10:53/udp", "[FD00::a]:80"].map(frontendOf), [
    vip,
    "10.96.0.10:53/UDP",
    "[fd00::a]:80/TCP",
  ]);
  for (const text of ["web", "10.96.0.10", "fd00::a:80", "10.96.0.10:80/icmp"])
    assert.throws(() => frontendOf(text), { code: "E_USAGE" });
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
