// SPDX-License-Identifier: Apache-2.0
/** Pods' links: made for those that have none, taken over by a new agent, forgotten with their device. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { attachTcx, attachTcxInBackground, BpfLink } from "#kernel/bpf/link.ts";
import { mountBpffs } from "#kernel/mounts.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { deleteLink } from "#kernel/netlink/link.ts";
import { TestNode } from "#kit/datapath.ts";
import { createLogger } from "#lib/log.ts";
import { linkPods, type PodLinkTarget, renewPodLink } from "./pod-links.ts";

const linksDir = `/sys/fs/bpf/weft-pods-${process.pid}`;
const { signal } = new AbortController();

describe("pods' links", () => {
  let node: TestNode;
  let later: TestNode;
  let pods: readonly [number, number];

  before(() => {
    mountBpffs();
    mkdirSync(linksDir);
    node = TestNode.create("podlinks", { routing: "native" });
    later = TestNode.create("podlinks2", { routing: "native" });
    const [one, two] = [1, 2].map((id) => node.podIfindex(node.pod({ id, identity: 1000 + id })));
    pods = [one!, two!];
  });
  after(() => {
    for (const name of readdirSync(linksDir)) rmSync(`${linksDir}/${name}`);
    rmSync(linksDir, { recursive: true });
    later[Symbol.dispose]();
    node[Symbol.dispose]();
  });

  const targetOf = (of: TestNode): PodLinkTarget => ({
    datapath: { program: (name) => of.program(name) },
    linksDir,
    log: createLogger("test", "error"),
  });
  /** In the node's namespace, which another thread is not in. */
  const link = (...ifindexes: number[]) =>
    linkPods(targetOf(node), new Set(ifindexes), {
      signal,
      attach: async (program, ifindex) =>
        node.inside(() => attachTcx({ program, ifindex, direction: "ingress" })),
    });
  const infoOf = (ifindex: number) => {
    using pinned = BpfLink.openPinned(`${linksDir}/pod_${ifindex}`);
    return pinned.info();
  };

  it("are made for those that have none", async () => {
    assert.equal(await link(pods[0]), 1);
    const first = infoOf(pods[0]);
    assert.equal(first.ifindex, pods[0]);
    assert.equal(await link(...pods), 2);
    assert.equal(infoOf(pods[0]).id, first.id, "the same link");
  });

  it("get a new agent's program in one step", () => {
    const { id } = infoOf(pods[0]);
    assert.equal(renewPodLink(targetOf(later), pods[0]), true);
    assert.deepEqual(
      [infoOf(pods[0]).id, infoOf(pods[0]).programId],
      [id, later.program("from_pod").info().id],
    );
  });

  it("are forgotten with their device", async () => {
    using netlink = openNetlink({ netns: node.netns });
    deleteLink(netlink, "pod2");
    assert.equal(renewPodLink(targetOf(node), pods[1]), false);
    assert.equal(await link(pods[0]), 1);
    assert.deepEqual(readdirSync(linksDir), [`pod_${pods[0]}`]);
    await link();
    assert.deepEqual(readdirSync(linksDir), []);
  });

  it("are none where there is no device", async () => {
    const program = node.program("from_pod");
    assert.equal(await attachTcxInBackground({ program, ifindex: 2 ** 30, direction: "ingress" }), undefined);
  });
});
