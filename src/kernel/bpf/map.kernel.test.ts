// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap, type CreateMapOptions, possibleCpus } from "#kernel/bpf/map.ts";
import { perCpu, typedMap, u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { openFds } from "#kernel/fd.ts";
import { assertNoFdLeak } from "#kit/fd-leak.ts";

const shape = { name: "test", keySize: 4, valueSize: 8, maxEntries: 5000 };

function create(type: number, more: Partial<CreateMapOptions> = {}): BpfMap {
  return BpfMap.create({ ...shape, type, ...more });
}

/** Everything in the map, in the order of the keys. */
function contents<V>(map: { entries(): Iterable<readonly [number, V]> }): (readonly [number, V])[] {
  return [...map.entries()].sort(([a], [b]) => a - b);
}

test("one by one: create, change, look up, delete, with the modes", () => {
  assertNoFdLeak(() => {
    using map = create(MapType.hash);
    const typed = typedMap(map, u32Layout, u64Layout);
    assert.equal(typed.get(1), undefined);
    assert.throws(() => typed.set(1, 1n, "exist"), { code: "E_SYSCALL", errno: "ENOENT" });
    typed.set(1, 10n, "create");
    assert.throws(() => typed.set(1, 1n, "create"), {
      code: "E_SYSCALL",
      errno: "EEXIST",
      message: "update map test: file exists",
    });
    typed.set(1, 2n ** 64n - 1n);
    assert.equal(typed.get(1), 2n ** 64n - 1n);
    assert.equal(typed.delete(1), true);
    assert.equal(typed.delete(1), false);
    assert.deepEqual(contents(typed), []);
  });
});

for (const type of [MapType.hash, MapType.lruHash] as const) {
  test(`many at once, more than one batch (map type ${type})`, () => {
    using map = create(type, { maxEntries: 20_000 });
    const typed = typedMap(map, u32Layout, u64Layout);
    const entries = Array.from({ length: 2500 }, (_, i) => [i, BigInt(i) * 3n] as const);
    typed.setMany(entries);
    assert.deepEqual(contents(typed), entries);
    // Keys that are not there stand between those that are, also at the ends.
    typed.deleteMany(Array.from({ length: 6000 }, (_, i) => i * 2 - 10).filter((key) => key >= 0));
    assert.deepEqual(
      contents(typed),
      entries.filter(([key]) => key % 2 === 1),
    );
    typed.deleteMany([]);
    typed.setMany([]);
  });
}

test("arrays and LPM tries in batches", () => {
  using array = create(MapType.array, { maxEntries: 1500 });
  const numbers = typedMap(array, u32Layout, u64Layout);
  numbers.setMany([
    [1499, 7n],
    [3, 1n],
  ]);
  assert.equal(contents(numbers).length, 1500);
  assert.equal(numbers.get(1499), 7n);
  assert.throws(() => numbers.set(1500, 1n), { errno: "E2BIG" });

  using trie = create(MapType.lpmTrie, { keySize: 8, flags: 1 });
  const prefixes = typedMap(trie, u64Layout, u64Layout);
  const wanted = Array.from({ length: 1100 }, (_, i) => [BigInt(i) * 2n ** 48n + 32n, BigInt(i)] as const);
  // A key is its length in bits, then the bytes from the most significant on.
  prefixes.setMany(wanted);
  assert.deepEqual(new Map(prefixes.entries()), new Map(wanted));
  prefixes.deleteMany(wanted.map(([key]) => key));
  assert.deepEqual([...prefixes.entries()], []);
});

test("per-CPU values: one for every possible CPU", () => {
  for (const type of [MapType.percpuHash, MapType.percpuArray]) {
    using map = create(type, { valueSize: 4, maxEntries: 10 });
    const typed = typedMap(map, u32Layout, perCpu(u32Layout));
    const value = Array.from({ length: possibleCpus() }, (_, cpu) => cpu + 1);
    typed.set(2, value);
    typed.setMany([[5, value]]);
    assert.deepEqual(typed.get(2), value);
    assert.deepEqual(contents(typed).find(([key]) => key === 5)![1], value);
    assert.throws(() => typed.set(2, []), { code: "E_BPF_MAP" });
  }
});

test("maps without batch operations are worked on one by one", () => {
  using programs = create(MapType.progArray, { valueSize: 4, maxEntries: 3 });
  assert.deepEqual([...programs.entries()], []);
  using sockets = create(MapType.sockhash, { valueSize: 8 });
  assert.deepEqual([...sockets.entries()], []);
  using devices = create(MapType.devmapHash, { valueSize: 4, maxEntries: 4 });
  const typed = typedMap(devices, u32Layout, u32Layout);
  typed.setMany([
    [1, 1],
    [2, 1],
  ]);
  assert.deepEqual(contents(typed), [
    [1, 1],
    [2, 1],
  ]);
  typed.deleteMany([1, 7, 2]);
  assert.deepEqual(contents(typed), []);
});

test("a batch that does not fit says where it stopped", () => {
  using map = create(MapType.hash, { maxEntries: 3 });
  const typed = typedMap(map, u32Layout, u64Layout);
  assert.throws(
    () =>
      typed.setMany([
        [1, 1n],
        [2, 2n],
        [3, 3n],
        [4, 4n],
        [5, 5n],
      ]),
    { code: "E_SYSCALL", errno: "E2BIG", message: /^update map test \(element 4 of 5\): / },
  );
  assert.deepEqual(contents(typed).length, 3);
});

test("freeze, sizes, use after close", () => {
  const map = create(MapType.array, { maxEntries: 1 });
  assert.throws(() => map.lookup(new Uint8Array(3)), /key has 3 bytes, not 4/);
  assert.throws(() => map.update(new Uint8Array(4), new Uint8Array(9)), /value has 9 bytes, not 8/);
  assert.throws(() => typedMap(map, u64Layout, u64Layout), { code: "E_BPF_MAP" });
  map.freeze();
  assert.throws(() => map.update(new Uint8Array(4), new Uint8Array(8)), { errno: "EPERM" });
  assert.ok([...openFds().values()].includes("map test"));
  map.close();
  map.close();
  assert.throws(() => map.lookup(new Uint8Array(4)), { code: "E_BPF_MAP" });
  assert.deepEqual([...openFds().values()], []);
});
