// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { hasErrno, KernelError } from "#kernel/errno.ts";
import { addAddress, deleteAddress, listAddresses, replaceAddress } from "#kernel/netlink/address.ts";
import { MessageWriter } from "#kernel/netlink/codec.ts";
import { type Netlink, openNetlink } from "#kernel/netlink/handle.ts";
import {
  addBridge,
  addVeth,
  addVxlan,
  deleteLink,
  getLink,
  linkIndex,
  listLinks,
  setLink,
} from "#kernel/netlink/link.ts";
import { deleteNeighbour, listNeighbours, replaceNeighbour } from "#kernel/netlink/neighbour.ts";
import { addRoute, deleteRoute, listRoutes, lookupRoute, replaceRoute } from "#kernel/netlink/route.ts";
import type { Route } from "#kernel/netlink/route-fields.ts";
import { addRule, deleteRule, listRules } from "#kernel/netlink/rule.ts";
import { createNetns, deleteNetns } from "#kernel/netns.ts";
import type { Address, Prefix } from "#model/ip.ts";

const address = (text: string) => text as Address;
const prefix = (text: string) => text as Prefix;
const NODE = `wnl-${process.pid}-node`;
const POD = `wnl-${process.pid}-pod`;

describe("rtnetlink", { timeout: 60_000 }, () => {
  let nodePath: string;
  let podPath: string;
  let node: Netlink;
  let pod: Netlink;

  beforeEach(() => {
    nodePath = createNetns(NODE);
    podPath = createNetns(POD);
    node = openNetlink({ netns: nodePath });
    pod = openNetlink({ netns: podPath });
  });
  afterEach(() => {
    node[Symbol.dispose]();
    pod[Symbol.dispose]();
    deleteNetns(NODE);
    deleteNetns(POD);
  });

  const veth = () => {
    addVeth(node, {
      name: "host0",
      mac: "02:00:00:00:00:01",
      mtu: 1400,
      peer: { name: "eth0", mac: "02:00:00:00:00:02", mtu: 1400, netns: podPath },
    });
    setLink(node, "host0", { up: true });
    setLink(pod, "eth0", { up: true });
    return { host: linkIndex(node, "host0"), pod: linkIndex(pod, "eth0") };
  };

  test("makes a veth pair across two namespaces and deletes it from one side", () => {
    const index = veth();
    const host = getLink(node, "host0");
    // Follows the carrier in the kernel's own time.
    assert.equal(typeof host?.operational, "boolean");
    assert.deepEqual(
      { ...host, operational: true },
      {
        index: index.host,
        name: "host0",
        kind: "veth",
        mac: "02:00:00:00:00:01",
        mtu: 1400,
        up: true,
        carrier: true,
        operational: true,
        noArp: false,
        loopback: false,
        peer: index.pod,
      },
    );
    const peer = getLink(pod, index.pod);
    assert.equal(peer?.mac, "02:00:00:00:00:02");
    assert.equal(peer?.peer, index.host);
    assert.deepEqual(
      listLinks(pod)
        .map((link) => link.name)
        .sort(),
      ["eth0", "lo"],
    );
    assert.equal(deleteLink(node, index.host), true);
    assert.equal(getLink(pod, "eth0"), undefined);
    assert.equal(deleteLink(node, "host0"), false);
  });

  test("changes links: mtu, mac, noarp, name, alias, down, other namespace", () => {
    const { host } = veth();
    setLink(node, host, {
      up: false,
      mtu: 1300,
      mac: "02:00:00:00:00:09",
      noArp: true,
      alias: "a pod",
      linkLocal: false,
    });
    setLink(node, host, { name: "renamed" });
    const link = getLink(node, "renamed");
    assert.equal(link?.index, host);
    assert.deepEqual(
      [link?.up, link?.mtu, link?.mac, link?.noArp, link?.alias],
      [false, 1300, "02:00:00:00:00:09", true, "a pod"],
    );
    setLink(node, "renamed", { netns: podPath });
    assert.equal(getLink(node, "renamed"), undefined);
    assert.equal(getLink(pod, "renamed")?.kind, "veth");
  });

  test("without link-local addresses a device has none when it comes up", () => {
    addVeth(node, { name: "a", peer: { name: "b" } });
    for (const name of ["a", "b"]) setLink(node, name, { linkLocal: false });
    for (const name of ["a", "b"]) setLink(node, name, { up: true });
    assert.deepEqual(listAddresses(node), []);
  });

  test("makes VXLAN devices in external mode and bridges with ports", () => {
    addVxlan(node, { name: "vx", port: 8472, mac: "02:00:00:00:00:03", mtu: 1450 });
    const vxlan = getLink(node, "vx");
    assert.deepEqual(vxlan?.vxlan, { port: 8472, external: true });
    assert.equal(vxlan?.mtu, 1450);
    addBridge(node, { name: "br" });
    const { host } = veth();
    setLink(node, host, { master: linkIndex(node, "br") });
    assert.equal(getLink(node, host)?.master, linkIndex(node, "br"));
    setLink(node, host, { master: 0 });
    assert.equal(getLink(node, host)?.master, undefined);
  });

  test("adds, lists and deletes addresses of both families", () => {
    const { host: link } = veth();
    addAddress(node, { link, address: address("10.1.0.1"), bits: 32, noPrefixRoute: true });
    addAddress(node, { link, address: address("fd00::1"), bits: 64, noDad: true, noPrefixRoute: true });
    const own = listAddresses(node, link).filter((row) => row.scope === "global");
    assert.deepEqual(
      own.map((row) => [row.address, row.bits, row.noPrefixRoute, row.tentative]),
      [
        ["10.1.0.1", 32, true, false],
        ["fd00::1", 64, true, false],
      ],
    );
    assert.deepEqual(
      listRoutes(node, { family: 6, table: 254 }).filter((route) => route.dst === "fd00::/64"),
      [],
    );
    replaceAddress(node, { link, address: address("10.1.0.1"), bits: 32 });
    assert.throws(
      () => addAddress(node, { link, address: address("10.1.0.1"), bits: 32 }),
      (error: unknown) =>
        hasErrno(error, "EEXIST") &&
        /^add address 10\.1\.0\.1\/32 on device \d+: file exists/.test(String((error as Error).message)),
    );
    assert.equal(deleteAddress(node, { link, address: address("10.1.0.1"), bits: 32 }), true);
    assert.equal(deleteAddress(node, { link, address: address("10.1.0.1"), bits: 32 }), false);
  });

  const roundTrip = (route: Route) => {
    addRoute(node, route);
    const found = listRoutes(node).filter(
      (row) => row.dst === route.dst && row.table === (route.table ?? 254),
    );
    assert.equal(found.length, 1, route.dst);
    for (const [key, value] of Object.entries(route)) {
      assert.deepEqual(found[0]![key as keyof Route], value, `${route.dst} ${key}`);
    }
    assert.equal(deleteRoute(node, route), true, `delete ${route.dst}`);
    assert.equal(deleteRoute(node, route), false, `delete ${route.dst} again`);
  };

  test("routes of every shape come back as they were written", () => {
    const { host: link } = veth();
    addAddress(node, { link, address: address("10.1.0.1"), bits: 32 });
    addAddress(node, { link, address: address("fd00::1"), bits: 128, noDad: true });
    roundTrip({ dst: prefix("10.2.0.1/32"), link, scope: "link", src: address("10.1.0.1"), protocol: 87 });
    roundTrip({ dst: prefix("fd02::1/128"), link, src: address("fd00::1"), priority: 50 });
    roundTrip({
      dst: prefix("0.0.0.0/0"),
      link,
      gateway: address("169.254.1.1"),
      onlink: true,
      mtu: 1350,
      advMss: 1310,
    });
    roundTrip({
      dst: prefix("::/0"),
      link,
      gateway: address("fe80::1"),
      onlink: true,
      priority: 7,
      mtu: 1350,
    });
    roundTrip({ dst: prefix("10.3.0.0/16"), link, gateway: address("fe80::1"), onlink: true });
    roundTrip({ dst: prefix("10.4.0.0/16"), type: "blackhole", table: 1000 });
    roundTrip({ dst: prefix("fd04::/64"), type: "unreachable", priority: 9 });
    roundTrip({ dst: prefix("10.5.0.0/16"), type: "local", link, table: 300 });
  });

  test("routes with a tunnel encapsulation, every inner family over every underlay", () => {
    addVxlan(node, { name: "vx", port: 8472 });
    setLink(node, "vx", { up: true });
    const link = linkIndex(node, "vx");
    for (const dst of ["10.244.1.0/24", "fd00:244:1::/64"]) {
      for (const outer of ["172.30.0.11", "fd30::11"]) {
        roundTrip({ dst: prefix(dst), link, priority: 5, encap: { id: 6, dst: address(outer), ttl: 64 } });
        roundTrip({ dst: prefix(dst), link, priority: 5, encap: { id: 0xffffff, dst: address(outer) } });
      }
    }
  });

  test("replace takes the place of a route, filters and lookups see it", () => {
    const { host: link } = veth();
    const route: Route = { dst: prefix("10.2.0.0/24"), link, scope: "link" };
    addRoute(node, route);
    assert.throws(
      () => addRoute(node, route),
      /^WeftError: add route 10\.2\.0\.0\/24 dev \d+: file exists$/m,
    );
    replaceRoute(node, { ...route, mtu: 1280 });
    assert.equal(
      listRoutes(node, { family: 4, link, table: 254 }).find((row) => row.dst === route.dst)?.mtu,
      1280,
    );
    assert.equal(lookupRoute(node, address("10.2.0.7"))?.link, link);
    assert.equal(lookupRoute(node, address("10.9.0.7")), undefined);
    assert.deepEqual(listRoutes(node, { table: 4242 }), []);
    addRoute(node, { dst: prefix("10.2.1.0/24"), link, scope: "link", protocol: 87 });
    addRoute(node, { dst: prefix("fd02::/64"), link, protocol: 87 });
    const own = listRoutes(node, { protocol: 87 }).map((row) => row.dst);
    assert.deepEqual(own, ["10.2.1.0/24", "fd02::/64"]);
  });

  test("neighbours are permanent, replaced in place, listed and deleted", () => {
    const { host: link } = veth();
    for (const [ip, mac] of [
      ["10.2.0.1", "02:00:00:00:00:0a"],
      ["fd02::1", "02:00:00:00:00:0b"],
    ] as const) {
      const row = { link, address: address(ip), mac };
      replaceNeighbour(node, { ...row, mac: "02:00:00:00:00:ff" });
      replaceNeighbour(node, row);
      assert.deepEqual(
        listNeighbours(node, link).filter((at) => at.address === ip),
        [{ ...row, permanent: true }],
      );
      assert.equal(deleteNeighbour(node, row), true);
      assert.equal(deleteNeighbour(node, row), false);
    }
  });

  test("rules are added, listed and deleted", () => {
    const rules = [
      { family: 4, priority: 90, table: 2000, mark: 0x200, mask: 0xf00, action: "table" },
      {
        family: 4,
        priority: 91,
        from: prefix("10.0.0.0/8"),
        to: prefix("10.1.0.0/16"),
        iif: "eth9",
        table: 5,
        action: "table",
      },
      { family: 6, priority: 92, from: prefix("fd00::/8"), action: "unreachable" },
    ] as const;
    for (const rule of rules) {
      addRule(node, rule);
      assert.deepEqual(
        listRules(node, rule.family).filter((row) => row.priority === rule.priority),
        [rule],
      );
      assert.throws(
        () => addRule(node, rule),
        (error: unknown) => hasErrno(error, "EEXIST"),
      );
      assert.equal(deleteRule(node, rule), true);
      assert.equal(deleteRule(node, rule), false);
    }
  });

  test("an error names the object, the errno and the kernel's explanation", () => {
    assert.throws(
      () => setLink(node, "nix0", { up: true }),
      (error: unknown) => hasErrno(error, "ENODEV"),
    );
    assert.throws(() => addBridge(node, { name: "a name far too long" }), { code: "E_LINK_NAME" });
    assert.throws(
      () => addRoute(node, { dst: prefix("10.0.0.0/8"), gateway: address("192.0.2.1") }),
      (error: unknown) => {
        assert.ok(error instanceof KernelError);
        assert.deepEqual([error.code, error.errno], ["E_NETLINK", "ENETUNREACH"]);
        assert.equal(
          error.message,
          "add route 10.0.0.0/8 via 192.0.2.1: network is unreachable (Nexthop has invalid gateway)",
        );
        return true;
      },
    );
    assert.throws(() => openNetlink({ netns: "/run/netns/no-such" }), { code: "E_NETNS" });
    assert.throws(() => addVeth(node, { name: "x0", peer: { name: "x1", netns: "/run/netns/no-such" } }), {
      code: "E_NETNS",
    });
  });

  test("a dump longer than one datagram is complete", () => {
    const { host: link } = veth();
    for (let i = 0; i < 1500; i++) {
      addRoute(node, { dst: prefix(`10.77.${i >> 8}.${i & 255}/32`), link, scope: "link" });
    }
    assert.equal(listRoutes(node, { family: 4, table: 254 }).length, 1500);
    const seen = new Set(listRoutes(node, { family: 4, table: 254, link }).map((route) => route.dst));
    assert.equal(seen.size, 1500);
  });

  test("a handle answers for the namespace it was opened in, and not when closed", () => {
    const other = openNetlink({ netns: podPath });
    addBridge(other, { name: "only-pod" });
    assert.notEqual(getLink(pod, "only-pod"), undefined);
    assert.equal(getLink(node, "only-pod"), undefined);
    other[Symbol.dispose]();
    other[Symbol.dispose]();
    assert.throws(
      () => other.request({ type: 18, payload: new MessageWriter().finish(), what: () => "x" }),
      /closed/,
    );
  });
});
