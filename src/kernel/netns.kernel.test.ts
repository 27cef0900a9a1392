// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, readlinkSync, writeFileSync } from "node:fs";
import { afterEach, describe, test } from "node:test";
import { openFds } from "#kernel/fd.ts";
import {
  createNetns,
  deleteNetns,
  inNetns,
  listNetns,
  NETNS_DIR,
  netnsInode,
  netnsPath,
  openNetns,
} from "#kernel/netns.ts";
import { readSysctl, writeSysctl } from "#kernel/sysctl.ts";

const A = `wns-${process.pid}-a`;
const B = `wns-${process.pid}-b`;
const here = () => readlinkSync("/proc/thread-self/ns/net");

describe("network namespaces", { timeout: 60_000 }, () => {
  afterEach(() => {
    for (const name of [A, B]) deleteNetns(name);
  });

  test("are made as iproute2 makes them, listed and deleted", () => {
    const path = createNetns(A);
    assert.equal(path, `${NETNS_DIR}/${A}`);
    assert.ok(listNetns().includes(A));
    assert.match(execFileSync("ip", ["-n", A, "link"], { encoding: "utf8" }), /^1: lo: <LOOPBACK>/);
    assert.throws(() => createNetns(A), { code: "E_NETNS_EXISTS" });
    assert.equal(deleteNetns(A), true);
    assert.equal(existsSync(path), false);
    assert.equal(deleteNetns(A), false);
    for (const bad of ["", ".", "..", "a/b"]) assert.throws(() => netnsPath(bad), { code: "E_NETNS" });
  });

  test("a leftover file is deleted too, and is no namespace to enter", () => {
    writeFileSync(`${NETNS_DIR}/${A}`, "");
    assert.throws(() => inNetns(`${NETNS_DIR}/${A}`, () => {}), {
      code: "E_NETNS",
      message: /not a network namespace/,
    });
    assert.equal(deleteNetns(A), true);
  });

  test("inNetns enters, nests and always comes back", () => {
    const home = here();
    const a = createNetns(A);
    const b = openNetns(createNetns(B));
    const seen = inNetns(a, () => {
      const outer = here();
      assert.throws(() => inNetns(b, () => assert.fail(here())), {
        message: `net:[${netnsInode(netnsPath(B))}]`,
      });
      assert.equal(here(), outer);
      return outer;
    });
    assert.equal(seen, `net:[${netnsInode(a)}]`);
    assert.throws(() => inNetns("/run/netns/no-such", () => {}), { code: "E_NETNS" });
    assert.throws(() => inNetns(a, async () => {}), /must not be asynchronous/);
    assert.equal(here(), home);
    closeSync(b);
    assert.equal(openFds().has(b), false);
  });

  test("parameters under net/ are those of the namespace", () => {
    const a = createNetns(A);
    const forwarding = "net/ipv4/conf/lo/forwarding";
    const before = readSysctl(forwarding);
    inNetns(a, () => writeSysctl(forwarding, before === "1" ? 0 : 1));
    assert.equal(readSysctl(forwarding), before);
    assert.notEqual(
      inNetns(a, () => readSysctl(forwarding)),
      before,
    );
    assert.equal(
      inNetns(a, () => readSysctl("net.ipv4.ip_forward")),
      inNetns(a, () => readSysctl("net/ipv4/ip_forward")),
    );
    assert.throws(() => readSysctl("net/ipv4/no_such"), { code: "E_SYSCTL" });
    assert.throws(() => writeSysctl("net/../../etc/motd", 1), { code: "E_SYSCTL" });
    assert.throws(() => writeSysctl("/net/ipv4/ip_forward", 1), { code: "E_SYSCTL" });
  });
});
