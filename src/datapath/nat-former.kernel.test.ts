// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdirSync, rmSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { typedMap } from "#kernel/bpf/typed-map.ts";
import { mountBpffs } from "#kernel/mounts.ts";
import { parseAddress } from "#model/ip.ts";
import { NatShape } from "./layouts/enums.ts";
import { natEntryLayout } from "./layouts/nat-entry.ts";
import { type NatKey, natKeyLayout } from "./layouts/nat-key.ts";
import { formerMappings } from "./nat-former.ts";
import { natSeed, natTable } from "./nat-table.ts";

const directory = `/sys/fs/bpf/weft-test-nat-${process.pid}`;
const setBytes = NatShape.placesAt + NatShape.ways * (natKeyLayout.size + natEntryLayout.size);

const keyOf = (sport: number): NatKey => ({
  saddr: parseAddress("198.51.100.9"),
  daddr: parseAddress("192.0.2.1"),
  sport,
  dport: 30_080,
  proto: 17,
  reply: 0,
});
const entryOf = (port: number, expiresSec: number) => ({
  addr: parseAddress("192.0.2.1"),
  port,
  flags: 0,
  expiresSec,
  frontend: 7,
});

suite("mappings", () => {
  let sets: BpfMap;
  before(() => {
    mountBpffs();
    mkdirSync(directory, { recursive: true });
    sets = BpfMap.create({
      name: "nat_sets",
      type: MapType.array,
      keySize: 4,
      valueSize: setBytes,
      maxEntries: NatShape.sets,
    });
  });
  after(() => {
    sets.close();
    rmSync(directory, { recursive: true, force: true });
  });

  test("the seed is chance, and the same for every agent of the node", () => {
    const seed = natSeed(directory);
    assert.notEqual(seed, 0n);
    assert.equal(natSeed(directory), seed);
  });

  test("what an earlier version had in a hash table is taken over, but for what is older than what is known", () => {
    const table = natTable(sets, natSeed(directory));
    assert.equal(formerMappings(directory, table), undefined);
    using old = BpfMap.create({
      name: "nat",
      type: MapType.lruHash,
      keySize: natKeyLayout.size,
      valueSize: natEntryLayout.size,
      maxEntries: 64,
    });
    old.pin(`${directory}/nat`);
    const typed = typedMap(old, natKeyLayout, natEntryLayout);
    for (const n of [1, 2, 3]) typed.set(keyOf(n), entryOf(50_000 + n, 100));
    table.set(keyOf(3), entryOf(60_000, 200));
    {
      using former = formerMappings(directory, table)!;
      assert.equal(former.takeOver(), 2);
    }
    // The next agent, where this one was killed.
    using former = formerMappings(directory, table)!;
    assert.equal(former.takeOver(), 0);
    typed.set(keyOf(4), entryOf(50_004, 100));
    assert.equal(former.takeOver(), 1, "noted meanwhile");
    former.end();
    assert.equal(formerMappings(directory, table), undefined);
    const ports = [...table.entries()].map(([key, { port }]) => [key.sport, port]);
    assert.deepEqual(
      ports.sort(([a], [b]) => a! - b!),
      [
        [1, 50_001],
        [2, 50_002],
        [3, 60_000],
        [4, 50_004],
      ],
    );
    assert.equal(table.delete(keyOf(2)), true);
    assert.equal(table.delete(keyOf(2)), false);
    assert.equal(table.get(keyOf(2)), undefined);
  });

  test("a set that is full gives up what was not used for longest, and has all else", () => {
    const table = natTable(sets, 1n);
    const before = [...table.entries()].length;
    const count = 4 * NatShape.sets;
    for (let n = 0; n < count; n++) table.set(keyOf(n % 65_536), entryOf(n % 65_536, n));
    const kept = [...table.entries()].length - before;
    assert.ok(kept > 0.97 * count, `${kept} of ${count}`);
  });
});
