// SPDX-License-Identifier: Apache-2.0
/** Links of devices that come and go with what is asked for. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { test } from "node:test";
import { queryTcx } from "#kernel/bpf/link.ts";
import { mountBpffs } from "#kernel/mounts.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { TestNode } from "#kit/datapath.ts";
import { createLogger } from "#lib/log.ts";
import { attachEgressDevices } from "./attach.ts";
import type { AttachTarget } from "./attach-target.ts";

test("devices of egress addresses have the program for answers as long as they are such", () => {
  const linksDir = `/sys/fs/bpf/weft-egress-${process.pid}`;
  using undo = new DisposableStack();
  mountBpffs();
  mkdirSync(linksDir);
  undo.defer(() => rmSync(linksDir, { recursive: true }));
  undo.defer(() => {
    for (const name of readdirSync(linksDir)) rmSync(`${linksDir}/${name}`);
  });
  const node = undo.use(TestNode.create("attachegress", { routing: "native" }));
  const netlink = undo.use(openNetlink({ netns: node.netns }));
  const datapath = { program: (name: string) => node.program(name) } as AttachTarget["datapath"];
  const target: AttachTarget = { datapath, linksDir, netlink, log: createLogger("test", "error") };
  const [first, second] = [1, 2].map((id) => node.podIfindex({ id, identity: 0 })) as [number, number];
  const attach = (...devices: number[]) => {
    node.inside(() => attachEgressDevices(target, new Set(devices)));
    return readdirSync(linksDir).sort();
  };
  const programs = (ifindex: number) => node.inside(() => queryTcx(ifindex, "ingress").length);

  assert.deepEqual(attach(first), [`egress_${first}_ingress`]);
  assert.deepEqual(attach(first, second), [first, second].map((at) => `egress_${at}_ingress`).sort());
  assert.deepEqual([programs(first), programs(second)], [1, 1]);
  assert.deepEqual(attach(second), [`egress_${second}_ingress`], "also of an agent before");
  assert.equal(programs(second), 1);
  assert.deepEqual(attach(), []);
});
