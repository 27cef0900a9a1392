// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { pino } from "pino";
import { addAddress } from "#kernel/netlink/address.ts";
import { type Netlink, openNetlink } from "#kernel/netlink/handle.ts";
import { addVeth, addVxlan, deleteLink, linkIndex, setLink } from "#kernel/netlink/link.ts";
import { addRoute, listRoutes } from "#kernel/netlink/route.ts";
import { createNetns, deleteNetns } from "#kernel/netns.ts";
import { createHealth } from "#lib/health.ts";
import { type Address, type Family, family, parseAddress, parsePrefix } from "#model/ip.ts";
import { routeProtocol, startRouteReconciler } from "#nodes/ops.ts";
import { type NodeRoute, routeTable } from "#nodes/table.ts";
import { Database } from "#store/table.ts";

const NAME = `whn-${process.pid}`;
let netlink: Netlink;

beforeEach(() => {
  netlink = openNetlink({ netns: createNetns(NAME) });
  addVeth(netlink, { name: "eth0", peer: { name: "eth1" } });
  tunnel();
  for (const name of ["eth0", "eth1"]) setLink(netlink, name, { up: true });
  for (const text of ["192.168.0.1/24", "fd01::1/64"]) put("eth0", text);
});
afterEach(() => {
  netlink[Symbol.dispose]();
  deleteNetns(NAME);
});

function tunnel(): void {
  addVxlan(netlink, { name: "weft_vxlan", port: 8472 });
  setLink(netlink, "weft_vxlan", { up: true, noArp: true });
  for (const text of ["10.244.1.1/32", "fd10:1::1/128"]) put("weft_vxlan", text);
}

function put(device: string, text: string): void {
  const [address, bits] = text.split("/");
  addAddress(netlink, {
    link: linkIndex(netlink, device),
    address: address as Address,
    bits: Number(bits),
    noDad: true,
  });
}

const encap = (dst: string, to: string, src: string): NodeRoute => ({
  dst: parsePrefix(dst),
  node: "n2",
  encap: { id: 6, dst: parseAddress(to) },
  src: parseAddress(src),
});
const via = (dst: string, gateway: string): NodeRoute => ({
  dst: parsePrefix(dst),
  node: "n2",
  gateway: parseAddress(gateway),
});
const nowhere = (dst: string): NodeRoute => ({ dst: parsePrefix(dst), node: "n1", unreachable: true });

function world() {
  const db = new Database();
  const routes = routeTable(db);
  const source = routes.source("t");
  const stop = new AbortController();
  const health = createHealth();
  const start = () =>
    startRouteReconciler(
      { db, routes, netlink, tunnelDevice: "weft_vxlan", health, log: pino({ level: "silent" }) },
      stop.signal,
    );
  return {
    db,
    routes,
    source,
    start,
    put: (...rows: NodeRoute[]) =>
      db.write((tx) => {
        for (const row of rows) tx.put(routes, row);
      }),
  };
}

const ours = (of?: Family) =>
  listRoutes(netlink, { protocol: routeProtocol })
    .filter((route) => of === undefined || family(route.dst) === of)
    .map(
      (r) =>
        `${r.dst} ${r.type === "unreachable" ? r.type : r.encap ? `encap ${r.encap.id} ${r.encap.dst}` : `via ${r.gateway}`}${r.src ? ` src ${r.src}` : ""}`,
    )
    .sort();

test("tunnelled and native routes of both families are made, changed and taken away; others' are left alone", async () => {
  addRoute(netlink, { dst: parsePrefix("10.99.0.0/16"), gateway: parseAddress("192.168.0.77") });
  const w = world();
  w.source.synced();
  await using reconciler = w.start();
  w.put(
    encap("10.244.2.0/24", "192.168.0.2", "10.244.1.1"),
    encap("fd10:2::/64", "192.168.0.2", "fd10:1::1"),
    encap("10.244.4.0/24", "fd01::4", "10.244.1.1"),
    via("10.244.3.0/24", "192.168.0.3"),
    via("fd10:3::/64", "fd01::3"),
    nowhere("10.244.1.0/24"),
    nowhere("fd10:1::/64"),
  );
  await reconciler.waitUntil(w.routes.revision);
  assert.deepEqual(ours(), [
    "10.244.1.0/24 unreachable",
    "10.244.2.0/24 encap 6 192.168.0.2 src 10.244.1.1",
    "10.244.3.0/24 via 192.168.0.3",
    "10.244.4.0/24 encap 6 fd01::4 src 10.244.1.1",
    "fd10:1::/64 unreachable",
    "fd10:2::/64 encap 6 192.168.0.2 src fd10:1::1",
    "fd10:3::/64 via fd01::3",
  ]);
  w.put(encap("10.244.2.0/24", "192.168.0.22", "10.244.1.1"), via("fd10:2::/64", "fd01::2"));
  await reconciler.waitUntil(w.routes.revision);
  assert.equal(ours(4)[1], "10.244.2.0/24 encap 6 192.168.0.22 src 10.244.1.1");
  assert.equal(ours(6)[1], "fd10:2::/64 via fd01::2");
  w.db.write((tx) => {
    for (const row of w.routes.all()) tx.delete(w.routes, row.dst);
  });
  await reconciler.waitUntil(w.routes.revision);
  assert.deepEqual(ours(), []);
  assert.ok(listRoutes(netlink, { table: 254 }).some((route) => route.dst === "10.99.0.0/16"));
});

test("a restart adopts what is right, repairs what is not, prunes what nobody wants", async () => {
  const first = world();
  first.source.synced();
  {
    await using reconciler = first.start();
    first.put(encap("10.244.2.0/24", "192.168.0.2", "10.244.1.1"), via("10.244.3.0/24", "192.168.0.3"));
    await reconciler.waitUntil(first.routes.revision);
  }
  const second = world();
  second.put(encap("10.244.2.0/24", "192.168.0.2", "10.244.1.1"));
  await using reconciler = second.start();
  await reconciler.waitUntil(second.routes.revision);
  assert.equal(ours().length, 2, "not pruned before the table is ready");
  second.source.synced();
  await second.routes.ready;
  second.put(via("10.244.5.0/24", "192.168.0.5"));
  await reconciler.waitUntil(second.routes.revision);
  assert.deepEqual(ours(), [
    "10.244.2.0/24 encap 6 192.168.0.2 src 10.244.1.1",
    "10.244.5.0/24 via 192.168.0.5",
  ]);
});

test("a route the kernel refuses is an error of its own", async () => {
  const w = world();
  w.source.synced();
  await using reconciler = w.start();
  deleteLink(netlink, "weft_vxlan");
  w.put(
    encap("10.244.2.0/24", "192.168.0.2", "10.244.1.1"),
    via("10.244.3.0/24", "192.168.0.3"),
    via("10.244.4.0/24", "172.16.0.1"),
  );
  await assert.rejects(reconciler.settled("10.244.2.0/24"), /no tunnel device weft_vxlan/);
  assert.equal(reconciler.status.get("10.244.3.0/24")?.state, "done");
  assert.match(reconciler.status.get("10.244.4.0/24")?.error ?? "", /unreachable/i);
  tunnel();
  w.put({ ...encap("10.244.2.0/24", "192.168.0.2", "10.244.1.1"), node: "n3" });
  await reconciler.settled("10.244.2.0/24");
});
