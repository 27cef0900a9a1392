// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Prefix, parsePrefix } from "#model/ip.ts";
import { CidrPool } from "./cidr-pool.ts";
import { type PodCidrNode, PodCidrs } from "./pod-cidrs.ts";

const v4 = { cidrs: [parsePrefix("10.0.0.0/22"), parsePrefix("10.9.0.0/24")], maskSize: 24 };
const v6 = { cidrs: [parsePrefix("fd00::/104")], maskSize: 120 };
const dual = { v4, v6 };

function node(name: string, createdMs: number, ...podCidrs: string[]): PodCidrNode {
  return { name, createdMs, podCidrs: podCidrs.map(parsePrefix) };
}

/** Nodes with what they were assigned. */
function settled(cidrs: PodCidrs, nodes: readonly PodCidrNode[]): PodCidrNode[] {
  const assigned = cidrs.update(nodes);
  return nodes.map((one) => ({ ...one, podCidrs: assigned.get(one.name)!.podCidrs }));
}

test("each node gets one of each family, and what it has stays, over a restart too", () => {
  const cidrs = new PodCidrs(dual);
  const nodes = settled(cidrs, [node("b", 2), node("a", 1)]);
  assert.deepEqual(
    nodes.map(({ podCidrs }) => podCidrs),
    [
      ["10.0.1.0/24", "fd00::100/120"],
      ["10.0.0.0/24", "fd00::/120"],
    ],
  );
  assert.deepEqual(settled(cidrs, nodes), nodes);
  assert.deepEqual(settled(new PodCidrs(dual), nodes), nodes);
  const [third] = settled(new PodCidrs(dual), [node("c", 3), ...nodes]);
  assert.deepEqual(third?.podCidrs, ["10.0.2.0/24", "fd00::200/120"]);
});

test("an assignment not written down yet is not given to another", () => {
  const cidrs = new PodCidrs({ v4 });
  cidrs.update([node("a", 1)]);
  const assigned = cidrs.update([node("z", 0), node("a", 1)]);
  assert.deepEqual(assigned.get("a")?.podCidrs, ["10.0.0.0/24"]);
  assert.deepEqual(assigned.get("z")?.podCidrs, ["10.0.1.0/24"]);
});

test("what a node gave back is used again last, and by itself first", () => {
  const cidrs = new PodCidrs({ v4 });
  const [a, b] = settled(cidrs, [node("a", 1), node("b", 2)]);
  cidrs.update([b!]);
  const [, c, d] = settled(cidrs, [b!, node("c", 3), node("d", 4)]);
  assert.deepEqual([c!.podCidrs, d!.podCidrs], [["10.0.2.0/24"], ["10.0.3.0/24"]]);
  const [, , , back] = settled(cidrs, [b!, c!, d!, node("a", 5)]);
  assert.deepEqual(back?.podCidrs, a?.podCidrs);
});

test("a pool that is used up is said so, and the node gets its CIDR when there is one again", () => {
  const cidrs = new PodCidrs({ v4 });
  const nodes = settled(
    cidrs,
    ["a", "b", "c", "d", "e"].map((name, i) => node(name, i)),
  );
  assert.deepEqual(nodes.at(-1)?.podCidrs, ["10.9.0.0/24"]);
  const late = node("f", 9);
  assert.match(cidrs.update([...nodes, late]).get("f")?.lacks ?? "", /all 5 IPv4 pod CIDRs .* in use/);
  const assigned = cidrs.update([...nodes.slice(1), late]).get("f");
  assert.deepEqual([assigned?.podCidrs, assigned?.lacks], [["10.0.0.0/24"], undefined]);
});

test("of two nodes with the same CIDR the older keeps it", () => {
  const cidrs = new PodCidrs({ v4 });
  const assigned = cidrs.update([node("young", 2, "10.0.0.0/24"), node("old", 1, "10.0.0.0/24")]);
  assert.deepEqual(assigned.get("old"), { podCidrs: ["10.0.0.0/24"], conflicts: [] });
  assert.deepEqual(assigned.get("young"), {
    podCidrs: ["10.0.1.0/24"],
    conflicts: [{ cidr: "10.0.0.0/24", owner: "old" }],
  });
});

test("CIDRs of another length or of no pool are kept, and nothing is given out inside them", () => {
  const cidrs = new PodCidrs({ v4 });
  const assigned = cidrs.update([
    node("wide", 1, "10.0.0.0/23"),
    node("elsewhere", 2, "192.168.0.0/24"),
    node("new", 3),
    node("part", 4, "10.0.1.128/25"),
  ]);
  assert.deepEqual(assigned.get("wide")?.podCidrs, ["10.0.0.0/23"]);
  assert.deepEqual(assigned.get("elsewhere")?.podCidrs, ["192.168.0.0/24"]);
  assert.deepEqual(assigned.get("new")?.podCidrs, ["10.0.2.0/24"]);
  assert.deepEqual(assigned.get("part")?.podCidrs, ["10.0.3.0/24"]);
});

test("a family without a pool is left out", () => {
  const assigned = new PodCidrs({ v4 }).update([node("a", 1, "fd00::/120", "10.0.2.0/24")]);
  assert.deepEqual(assigned.get("a")?.podCidrs, ["10.0.2.0/24"]);
});

test("a large pool is searched without being made", () => {
  const pool = new CidrPool({ cidrs: [parsePrefix("fd00::/48")], maskSize: 120 });
  const some = Array.from({ length: 300 }, () => pool.allocate());
  assert.equal(some.at(-1), "fd00::1:2b00/120");
  pool.free(some[0] as Prefix);
  assert.equal(pool.used, 299);
});
