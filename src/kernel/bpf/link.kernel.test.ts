// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { AttachType } from "#kernel/bpf/kinds.ts";
import {
  attachCgroup,
  attachNetns,
  attachTcx,
  attachXdp,
  BpfLink,
  queryTcx,
  type TcxPosition,
} from "#kernel/bpf/link.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { unpin } from "#kernel/bpf/pin.ts";
import { typedMap, u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { cgroupOf, createCgroup, joinCgroup, removeCgroup } from "#kernel/cgroup.ts";
import { libc } from "#kernel/libc.ts";
import { mountBpffs } from "#kernel/mounts.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { setLink } from "#kernel/netlink/link.ts";
import { createNetns, deleteNetns, inNetns, openNetns } from "#kernel/netns.ts";
import { compiledSpec } from "#kit/bpf-object.ts";

const NETNS = `weft-bpf-test-${process.pid}`;
const LO = 1;
const HIT = { first: 0, second: 1, xdp: 2, connect: 3, lookup: 4 };
const PIN = `/sys/fs/bpf/weft-link-test-${process.pid}`;

describe("links", () => {
  let netns: string;
  let loaded: Collection;

  before(() => {
    netns = createNetns(NETNS);
    using netlink = openNetlink({ netns });
    setLink(netlink, "lo", { up: true });
    loaded = loadCollection(compiledSpec("src/kernel/bpf/testdata/hooks.bpf.c"));
  });

  after(() => {
    loaded?.close();
    unpin(PIN);
    deleteNetns(NETNS);
  });

  /** What the programs counted while `body` ran, in the order of {@link HIT}. */
  function hitsOf(body: () => void): number[] {
    const hits = typedMap(loaded.map("hits"), u32Layout, u64Layout);
    const read = () => Object.values(HIT).map((key) => Number(hits.get(key)));
    const start = read();
    body();
    return read().map((n, i) => n - start[i]!);
  }

  /** One UDP datagram over lo. */
  function send(): void {
    inNetns(netns, () => {
      const fd = libc.socket(2, 2, 0);
      const address = Uint8Array.from([2, 0, 0, 9, 127, 0, 0, 1, ...new Array<number>(8).fill(0)]);
      libc.connect(fd, address, 16);
      libc.send(fd, new Uint8Array(200), 200, 0);
      closeSync(fd);
    });
  }

  test("tcx: order by position, query, replace, detach", () => {
    // The kernel takes a program only once per hook: a second copy for the links in between.
    using more = loadCollection(compiledSpec("src/kernel/bpf/testdata/hooks.bpf.c"));
    const tcx = (name: string, position?: TcxPosition) =>
      inNetns(netns, () =>
        attachTcx({
          program: (position === undefined ? loaded : more).program(name),
          ifindex: LO,
          direction: "ingress",
          ...(position === undefined ? {} : { position }),
        }),
      );
    const order = () => inNetns(netns, () => queryTcx(LO, "ingress")).map(({ linkId }) => linkId);
    using first = tcx("first");
    using second = tcx("second");
    assert.deepEqual(order(), [first.info().id, second.info().id]);
    assert.deepEqual(hitsOf(send), [2, 2, 0, 0, 0], "the datagram and the ICMP error that answers it");
    using ahead = tcx("first", "first");
    using between = tcx("second", { before: second });
    using behind = tcx("drop", { after: first });
    assert.deepEqual(
      order(),
      [ahead, first, behind, between, second].map((link) => link.info().id),
    );
    for (const link of [ahead, behind, between]) link.close();
    first.update(loaded.program("drop"));
    assert.equal(first.info().programId, loaded.program("drop").info().id);
    assert.deepEqual(hitsOf(send), [1, 0, 0, 0, 0], "dropped before the second program");
    first.detach();
    assert.equal(first.info().ifindex, 0);
    assert.deepEqual(hitsOf(send), [0, 2, 0, 0, 0]);
    second.close();
    assert.deepEqual(order(), []);
  });

  test("a pinned link outlives its fd and is found again", () => {
    mountBpffs();
    inNetns(netns, () => {
      using link = attachTcx({ program: loaded.program("second"), ifindex: LO, direction: "egress" });
      link.pin(PIN);
      assert.throws(() => link.pin(PIN), { code: "E_SYSCALL", errno: "EEXIST" });
    });
    assert.deepEqual(hitsOf(send), [0, 2, 0, 0, 0]);
    using again = BpfLink.openPinned(PIN);
    const info = again.info();
    assert.deepEqual([info.ifindex, info.attachType], [LO, AttachType.tcxEgress]);
    again.update(loaded.program("first"));
    unpin(PIN);
    assert.deepEqual(hitsOf(send), [2, 0, 0, 0, 0]);
    again.close();
    assert.deepEqual(hitsOf(send), [0, 0, 0, 0, 0]);
    assert.throws(() => BpfLink.openPinned(PIN), { errno: "ENOENT" });
  });

  test("XDP, sk_lookup and cgroup", async () => {
    using _xdp = inNetns(netns, () =>
      attachXdp({ program: loaded.program("pass"), ifindex: LO, mode: "generic" }),
    );
    const namespace = openNetns(netns);
    using _lookup = attachNetns({
      program: loaded.program("lookup_socket"),
      fd: namespace,
      attachType: AttachType.skLookup,
    });
    closeSync(namespace);
    assert.deepEqual(hitsOf(send), [0, 0, 2, 0, 1]);
    const path = createCgroup(`weft-bpf-test-${process.pid}`);
    try {
      const directory = openSync(path, "r");
      using link = attachCgroup({
        program: loaded.program("connect4"),
        fd: directory,
        attachType: AttachType.cgroupInet4Connect,
      });
      closeSync(directory);
      assert.deepEqual(hitsOf(send), [0, 0, 2, 0, 1], "we are not in the cgroup");
      const home = cgroupOf("self");
      joinCgroup(path, process.pid);
      try {
        assert.deepEqual(hitsOf(send), [0, 0, 2, 1, 1]);
      } finally {
        joinCgroup(home, process.pid);
      }
      assert.equal(link.info().attachType, AttachType.cgroupInet4Connect);
    } finally {
      await removeCgroup(path);
    }
  });

  test("what cannot be attached is refused with the kernel's reason", () => {
    const attach = (ifindex: number) =>
      attachTcx({ program: loaded.program("first"), ifindex, direction: "ingress" });
    assert.throws(() => attach(0x7ffffff0), {
      code: "E_SYSCALL",
      errno: "ENODEV",
      message: /attach first to tcx ingress of device 2147483632: no such device/,
    });
    assert.throws(
      () => attachXdp({ program: loaded.program("first"), ifindex: LO }),
      { code: "E_SYSCALL", errno: "EINVAL" },
      "a tc program is no XDP program, and the kernel does have XDP links",
    );
  });
});
