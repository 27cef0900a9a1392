// SPDX-License-Identifier: Apache-2.0
/** The balancer's links at XDP: made, kept, moved to another mode, taken away. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { mountBpffs } from "#kernel/mounts.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { TestNode } from "#kit/datapath.ts";
import { createLogger } from "#lib/log.ts";
import type { AttachTarget } from "./attach-target.ts";
import { attachBalancer, type XdpMode } from "./attach-xdp.ts";

const linksDir = `/sys/fs/bpf/weft-xdp-${process.pid}`;

describe("the balancer's links", () => {
  let node: TestNode;
  let target: AttachTarget;

  before(() => {
    mountBpffs();
    mkdirSync(linksDir);
    node = TestNode.create("attachxdp", { routing: "native", xdp: true });
    const datapath = { program: (name: string) => node.program(name) } as AttachTarget["datapath"];
    target = {
      datapath,
      linksDir,
      netlink: openNetlink({ netns: node.netns }),
      log: createLogger("test", "error"),
    };
  });
  after(() => {
    for (const name of readdirSync(linksDir)) rmSync(`${linksDir}/${name}`);
    rmSync(linksDir, { recursive: true });
    target.netlink[Symbol.dispose]();
    node[Symbol.dispose]();
  });

  const attach = (mode: XdpMode, devices = [{ name: "dev0", ifindex: node.deviceIfindex }]) => {
    node.inside(() => attachBalancer(target, devices, mode));
    return readdirSync(linksDir);
  };

  it("stay with a new agent, change their mode, and go when they are no longer wanted", () => {
    const link = (mode: XdpMode) => [`xdp_${mode}_${node.deviceIfindex}`];
    assert.deepEqual(attach("generic"), link("generic"));
    assert.deepEqual(attach("generic"), link("generic"));
    assert.deepEqual(attach("native"), link("native"), "one mode a device");
    assert.deepEqual(attach("auto"), link("auto"));
    assert.deepEqual(attach("auto", []), []);
  });

  it("say which device has none of what is asked for", () => {
    const loopback = [{ name: "lo", ifindex: 1 }];
    assert.throws(() => attach("native", loopback), { code: "E_XDP", message: /device lo/ });
    assert.deepEqual(readdirSync(linksDir), []);
  });
});
