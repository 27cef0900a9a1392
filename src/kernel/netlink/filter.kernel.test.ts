// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { addClsact, listBpfFilters, setBpfFilter } from "#kernel/netlink/filter.ts";
import { type Netlink, openNetlink } from "#kernel/netlink/handle.ts";
import { addVeth, linkIndex } from "#kernel/netlink/link.ts";
import { createNetns, deleteNetns } from "#kernel/netns.ts";
import { compiledSpec } from "#kit/bpf-object.ts";

describe("BPF filters of a device", () => {
  const name = `weft-filter-${process.pid}`;
  let netlink: Netlink;
  let collection: Collection;
  let link: number;
  let bare: number;

  before(() => {
    netlink = openNetlink({ netns: createNetns(name) });
    addVeth(netlink, { name: "a", peer: { name: "b" } });
    link = linkIndex(netlink, "a");
    bare = linkIndex(netlink, "b");
    collection = loadCollection(compiledSpec("tests/packet/around.bpf.c"));
  });
  after(() => {
    collection?.[Symbol.dispose]();
    netlink?.[Symbol.dispose]();
    deleteNetns(name);
  });

  const program = (of: string) => collection.program(of);

  it("need clsact, which is there once", () => {
    const fd = program("around_ingress").fd.number;
    assert.throws(
      () => setBpfFilter(netlink, { link: bare, direction: "ingress", priority: 1, name: "p", fd }),
      {
        code: "E_NETLINK",
      },
    );
    assert.equal(addClsact(netlink, link), true);
    assert.equal(addClsact(netlink, link), false);
    assert.deepEqual(listBpfFilters(netlink, link, "ingress"), []);
  });

  it("are set on both hooks, in the order of priority, and replaced under the same one", () => {
    const [one, two] = [program("around_ingress"), program("around_egress")];
    const set = (direction: "ingress" | "egress", priority: number, of: typeof one) =>
      setBpfFilter(netlink, { link, direction, priority, name: of.name, fd: of.fd.number });
    set("ingress", 2, one);
    set("ingress", 1, two);
    set("egress", 1, one);
    set("egress", 1, two);
    const shown = (direction: "ingress" | "egress") =>
      listBpfFilters(netlink, link, direction).map((f) => [f.priority, f.name, f.programId]);
    assert.deepEqual(shown("ingress"), [
      [1, "around_egress", two.info().id],
      [2, "around_ingress", one.info().id],
    ]);
    assert.deepEqual(shown("egress"), [[1, "around_egress", two.info().id]]);
  });

  it("of a device that is gone are an error that names it", () => {
    assert.throws(() => addClsact(netlink, 4_000_000), { code: "E_NETLINK", message: /device 4000000/ });
  });
});
