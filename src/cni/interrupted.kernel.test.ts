// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, before, beforeEach, describe, test } from "node:test";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { addVeth, getLink } from "#kernel/netlink/link.ts";
import { createNetns, deleteNetns } from "#kernel/netns.ts";
import { assertFails, CniNode } from "#kit/cni-node.ts";
import { until } from "#kit/lab-run.ts";
import { WeftError } from "#lib/errors.ts";
import type { Prefix } from "#model/ip.ts";
import { hostIfname } from "./names.ts";

describe("CNI when callers, agents and devices come and go", { timeout: 60_000 }, () => {
  let cni: CniNode;
  before(() => {
    execFileSync("sh", [join(import.meta.dirname, "../../tools/build-native.sh")]);
  });
  beforeEach(async () => {
    cni = await CniNode.create();
  });
  afterEach(() => cni[Symbol.asyncDispose]());

  test("a failing endpoint undoes all, and says why", async () => {
    const failures: [Error, number, RegExp][] = [
      [new WeftError("E_POD_UNKNOWN", "the API server knows no pod shop/cart"), 11, /knows no pod/],
      [new WeftError("E_VERIFIER", "the program was refused"), 199, /was refused/],
    ];
    for (const [error, code, text] of failures) {
      cni.endpoints.onCreate = () => Promise.reject(error);
      assertFails(await cni.call("ADD"), code, text);
      cni.assertNothingLeft();
    }
    using inside = openNetlink({ netns: cni.podPath });
    assert.equal(getLink(inside, "eth0"), undefined);
    cni.endpoints.onCreate = undefined;
    assert.equal((await cni.call("ADD")).exitCode, 0);
  });

  test("the host side stays down until the endpoint is in force", async () => {
    let up: boolean | undefined;
    cni.endpoints.onCreate = async () => {
      up = getLink(cni.netlink, hostIfname({ containerId: "c1", ifname: "eth0" }))?.up;
    };
    assert.equal((await cni.call("ADD")).exitCode, 0);
    assert.equal(up, false);
  });

  test("DEL interrupts an ADD that hangs; a second ADD meanwhile is told to try again", async () => {
    const { promise: waiting, resolve: entered } = Promise.withResolvers<void>();
    cni.endpoints.onCreate = (signal) => {
      entered();
      return new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    };
    const hanging = cni.call("ADD");
    await waiting;
    assertFails(await cni.call("ADD"), 11, /ADD of c1\/eth0 is still running/);
    assert.equal((await cni.call("DEL")).exitCode, 0);
    assertFails(await hanging, 11, /DEL came before ADD was done/);
    cni.assertNothingLeft();
  });

  test("an ADD whose caller dies, or whose agent stops, is undone", async () => {
    const { promise: waiting, resolve: entered } = Promise.withResolvers<void>();
    cni.endpoints.onCreate = (signal) => {
      entered();
      return new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    };
    const socket = connect(cni.socketPath);
    const body = Buffer.concat([
      Buffer.from(
        `CNI_COMMAND=ADD\0CNI_CONTAINERID=c9\0CNI_NETNS=${cni.podPath}\0CNI_IFNAME=eth0\0CNI_ARGS=K8S_POD_NAMESPACE=a;K8S_POD_NAME=b\0\0`,
      ),
      Buffer.from(JSON.stringify({ cniVersion: "1.1.0", name: "weft", type: "weft-cni" })),
    ]);
    const header = Buffer.alloc(4);
    header.writeUInt32BE(body.length);
    socket.write(Buffer.concat([header, body]));
    await waiting;
    socket.destroy();
    const hanging = cni.call("ADD");
    await cni.stop();
    const answer = await hanging;
    assert.equal(answer.json.code, 11, answer.output);
    cni.assertNothingLeft();
    assertFails(await cni.call("CHECK"), 11, /no Weft agent answers at/);
  });

  test("a new server takes up the endpoints' addresses; DEL finds a device nobody remembers", async () => {
    await cni.call("ADD");
    const orphan = hostIfname({ containerId: "crashed", ifname: "eth0" });
    addVeth(cni.netlink, { name: orphan, peer: { name: "orphan" } });
    await cni.stop();
    await cni.start();
    assert.equal(cni.ipam.get("c1/eth0")?.v4, "10.77.0.2");
    assert.equal((await cni.call("DEL", { env: { CNI_CONTAINERID: "crashed" } })).exitCode, 0);
    assert.equal(getLink(cni.netlink, orphan), undefined);
    assert.equal(statSync(cni.socketPath).mode & 0o777, 0o600);
    await assert.rejects(cni.start(), {
      code: "E_LISTEN",
      message: `another process serves ${cni.socketPath}`,
    });
    assert.equal((await cni.call("CHECK")).exitCode, 0);
  });

  test("while no agent answers: ADD may be tried again, DEL succeeds and is made up for", async () => {
    await cni.call("ADD");
    await cni.call("ADD", { env: { CNI_CONTAINERID: "c2", CNI_NETNS: cni.secondPod() } });
    await cni.stop();
    assertFails(
      await cni.call("ADD", { env: { CNI_CONTAINERID: "c3" } }),
      11,
      /^try again later: no Weft agent/,
    );
    assertFails(await cni.call("CHECK"), 11, /^try again later/);
    assertFails(await cni.call("STATUS"), 50, /^try again later/);
    assert.deepEqual(await cni.call("DEL"), { exitCode: 0, output: "", json: {} });
    assert.deepEqual(await cni.call("DEL"), { exitCode: 0, output: "", json: {} });
    assert.deepEqual(readdirSync(cni.deletions), ["c1:eth0"]);
    assert.equal((await cni.call("DEL", { env: { CNI_CONTAINERID: "../x" } })).exitCode, 1);
    assert.ok(getLink(cni.netlink, hostIfname({ containerId: "c1", ifname: "eth0" })));
    await cni.start();
    await until("the deletions to be made up for", () => readdirSync(cni.deletions).length === 0);
    assert.deepEqual([...cni.endpoints.rows.keys()], ["c2/eth0"]);
    assert.deepEqual([...cni.ipam.owners().keys()], ["c2/eth0"]);
    assert.equal(cni.devices().length, 1);
    assert.equal((await cni.call("ADD")).exitCode, 0);
  });

  test("an endpoint whose device vanished without a DEL is given up, with its address", async () => {
    await cni.call("ADD");
    await cni.call("ADD", { env: { CNI_CONTAINERID: "c2", CNI_NETNS: cni.secondPod() } });
    execFileSync("ip", ["-n", cni.name, "link", "del", hostIfname({ containerId: "c1", ifname: "eth0" })]);
    await until("the endpoint to go", () => !cni.endpoints.rows.has("c1/eth0"));
    await until("its address to be free", () => cni.ipam.get("c1/eth0") === undefined);
    assert.equal(
      (await cni.call("CHECK", { env: { CNI_CONTAINERID: "c2", CNI_NETNS: cni.secondPodPath } })).exitCode,
      0,
    );
  });

  test("thirty pods come and go at once", async () => {
    await cni.stop();
    await cni.start({ cidrs: ["10.78.0.0/24", "fd78::/64"] as Prefix[] });
    const names = Array.from({ length: 30 }, (_, i) => `wcni-${process.pid}-many${i}`);
    try {
      for (const name of names) createNetns(name);
      const fds = () => readdirSync("/proc/self/fd").length;
      const before = fds();
      const env = (name: string) => ({ env: { CNI_CONTAINERID: name, CNI_NETNS: `/run/netns/${name}` } });
      const added = await Promise.all(names.map((name) => cni.call("ADD", env(name))));
      assert.deepEqual(
        added.filter((answer) => answer.exitCode !== 0),
        [],
      );
      const ips = added.map((answer) => answer.json.ips?.[0]?.address);
      assert.equal(new Set(ips).size, 30);
      const removed = await Promise.all(names.map((name) => cni.call("DEL", env(name))));
      assert.deepEqual(
        removed.filter((answer) => answer.exitCode !== 0),
        [],
      );
      cni.assertNothingLeft();
      // The last connections may still be closing.
      while (fds() > before) await new Promise((resolve) => setImmediate(resolve));
    } finally {
      for (const name of names) deleteNetns(name);
    }
  });
});
