// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { after, beforeEach, describe, test } from "node:test";
import { MapIncompatibleError } from "#kernel/bpf/compatible.ts";
import { MapType } from "#kernel/bpf/kinds.ts";
import { allLinks } from "#kernel/bpf/link.ts";
import { allMaps, BpfMap } from "#kernel/bpf/map.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { allPrograms, BpfProgram, enableRunStats } from "#kernel/bpf/program.ts";
import { typedMap, u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { mountBpffs } from "#kernel/mounts.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { assertNoFdLeak } from "#kit/fd-leak.ts";

const directory = `/sys/fs/bpf/weft-pin-test-${process.pid}`;
const spec = compiledSpec("src/kernel/bpf/testdata/hooks.bpf.c");
const programs = ["first"];
const shapeOf = (type: number) => ({ name: "inner", type, keySize: 4, valueSize: 4, maxEntries: 16 });

describe("pins", () => {
  beforeEach(() => {
    mountBpffs();
    rmSync(directory, { recursive: true, force: true });
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  test("a marked map is pinned, and adopted with its contents", () => {
    assertNoFdLeak(() => {
      const first = loadCollection(spec, { programs, pinDir: directory });
      assert.deepEqual(first.adopted, []);
      typedMap(first.map("hits"), u32Layout, u64Layout).set(0, 41n);
      const { id } = first.map("hits").info;
      first.close();
      assert.deepEqual(readdirSync(directory), ["hits"]);
      using second = loadCollection(spec, { programs, pinDir: directory });
      assert.deepEqual([second.adopted, second.rebuilt], [["hits"], []]);
      assert.equal(second.map("hits").info.id, id);
      second.program("first").testRun({ data: new Uint8Array(64) });
      assert.equal(typedMap(second.map("hits"), u32Layout, u64Layout).get(0), 42n);
    });
  });

  test("the caller says which maps are pinned", () => {
    using _loaded = loadCollection(spec, {
      programs,
      pinDir: `${directory}/deeper`,
      pin: ({ name }) => name !== "hits",
    });
    assert.deepEqual(readdirSync(`${directory}/deeper`).sort(), ["numbers", "prefixes", "tables"]);
  });

  test("a pinned map that differs: all differences in one error, or made anew", () => {
    mkdirSync(directory);
    using old = BpfMap.create({ name: "hits", type: 1, keySize: 4, valueSize: 16, maxEntries: 9, flags: 1 });
    old.pin(`${directory}/hits`);
    assertNoFdLeak(() => {
      assert.throws(
        () => loadCollection(spec, { programs, pinDir: directory }),
        (error) => {
          assert.ok(error instanceof MapIncompatibleError);
          assert.equal(error.code, "E_MAP_INCOMPATIBLE");
          assert.equal(
            error.message,
            `map ${directory}/hits differs from the object's: type hash instead of array, value size 16 instead of 8, max entries 9 instead of 5, flags 0x1 instead of 0x0`,
          );
          assert.deepEqual(
            error.differences.map(({ field }) => field),
            ["type", "valueSize", "maxEntries", "flags"],
          );
          return true;
        },
      );
    });
    using fresh = loadCollection(spec, { programs, pinDir: directory, onIncompatible: "rebuild" });
    assert.equal(fresh.rebuilt[0]!.name, "hits");
    assert.equal(fresh.rebuilt[0]!.differences.length, 4);
    assert.notEqual(fresh.map("hits").info.id, old.info.id);
    using again = loadCollection(spec, { programs, pinDir: directory });
    assert.deepEqual(again.adopted, ["hits"]);
  });

  test("a map-in-map is adopted when its inner maps fit, an empty one when they would", () => {
    const options = { programs, pinDir: directory, pin: ({ name }: { name: string }) => name === "tables" };
    const put = (valueSize: number) => {
      using loaded = loadCollection(spec, { ...options, onIncompatible: "rebuild" });
      const shape = { name: "inner", type: MapType.hash, keySize: 4, valueSize, maxEntries: 99 };
      using inner = BpfMap.create(shape);
      typedMap(loaded.map("tables"), u32Layout, u32Layout).set(7, inner.fd.number);
      return loaded;
    };
    assert.deepEqual(put(4).adopted, []);
    assert.deepEqual(put(4).adopted, ["tables"]);
    using pinned = BpfMap.openPinned(`${directory}/tables`);
    typedMap(pinned, u32Layout, u32Layout).delete(7);
    const empty = put(4);
    assert.deepEqual([empty.adopted, empty.rebuilt], [["tables"], []]);
    rmSync(`${directory}/tables`);
    using template = BpfMap.create({ ...shapeOf(MapType.hash), valueSize: 12 });
    using outer = BpfMap.create({ ...shapeOf(MapType.hashOfMaps), name: "tables", innerMap: template });
    typedMap(outer, u32Layout, u32Layout).set(1, template.fd.number);
    outer.pin(`${directory}/tables`);
    assert.throws(() => loadCollection(spec, options), {
      code: "E_MAP_INCOMPATIBLE",
      message: `map ${directory}/tables differs from the object's: inner value size 12 instead of 4`,
    });
    const rebuilt = put(4).rebuilt.map(({ differences }) => differences);
    assert.deepEqual(rebuilt, [[{ field: "valueSize", expected: 4, found: 12, inner: true }]]);
  });

  test("equal sizes are not enough: the fields of keys and values are compared", () => {
    const options = { pinDir: directory, pin: ({ name }: { name: string }) => name === "pairs" };
    const today = compiledSpec("src/kernel/bpf/testdata/first.bpf.c");
    loadCollection(compiledSpec("src/kernel/bpf/testdata/older.bpf.c"), options).close();
    assertNoFdLeak(() => {
      assert.throws(() => loadCollection(today, { ...options, programs: ["pass"] }), {
        code: "E_MAP_INCOMPATIBLE",
        message: `map ${directory}/pairs differs from the object's: value layout b at 4: __be32 instead of b at 4: unsigned 4 bytes`,
      });
      const load = () => loadCollection(today, { ...options, programs: ["pass"], onIncompatible: "rebuild" });
      using fresh = load();
      assert.deepEqual([fresh.adopted, fresh.rebuilt.length], [[], 1]);
      using again = load();
      assert.deepEqual([again.adopted, again.rebuilt.length], [["pairs"], 0]);
    });
  });

  test("what is pinned in a map's place but is no map is replaced when asked to", () => {
    mkdirSync(directory);
    using loaded = loadCollection(spec, { programs });
    loaded.program("first").pin(`${directory}/hits`);
    assert.throws(() => loadCollection(spec, { programs, pinDir: directory }), { code: "E_BPF_PIN" });
    using fresh = loadCollection(spec, { programs, pinDir: directory, onIncompatible: "rebuild" });
    assert.deepEqual(fresh.rebuilt, [{ name: "hits", differences: [] }]);
  });

  test("maps given by the caller are shared and stay open", () => {
    using first = loadCollection(spec, { programs });
    const second = loadCollection(spec, { programs, maps: { hits: first.map("hits") } });
    assert.equal(second.map("hits"), first.map("hits"));
    second.close();
    assert.equal(first.map("hits").fd.closed, false);
    assert.throws(() => loadCollection(spec, { programs, maps: { hits: first.map("numbers") } }), {
      code: "E_MAP_INCOMPATIBLE",
      message: /type lruHash instead of array, key size 8 instead of 4$/,
    });
  });

  test("programs are pinned and found again; a pin of another kind is refused", () => {
    mkdirSync(directory);
    using loaded = loadCollection(spec, { programs });
    loaded.program("first").pin(`${directory}/first`);
    using again = BpfProgram.openPinned(`${directory}/first`);
    assert.equal(again.name, "first");
    assert.deepEqual(again.info(), loaded.program("first").info());
    assertNoFdLeak(() => {
      assert.throws(() => BpfMap.openPinned(`${directory}/first`), {
        code: "E_BPF_PIN",
        message: `${directory}/first is a bpf-prog, not a map`,
      });
      assert.throws(() => BpfProgram.openPinned(`${directory}/nothing`), { errno: "ENOENT" });
      assert.throws(() => again.pin("/tmp/weft-no-bpffs"), { code: "E_BPF_PIN" });
    });
  });

  test("maps and programs are found by id; info counts instructions", () => {
    using loaded = loadCollection(spec, { programs });
    const info = loaded.program("first").info();
    assert.deepEqual(info.mapIds, [loaded.map("hits").info.id]);
    assert.ok(info.verifiedInstructions > 5 && info.instructions > 5 && info.jitedBytes > 20);
    using map = BpfMap.openId(info.mapIds[0]!);
    assert.deepEqual(map.info, loaded.map("hits").info);
    using program = BpfProgram.openId(info.id);
    assert.equal(program.name, "first");
    assert.throws(() => BpfMap.openId(0x7fffffff), { errno: "ENOENT" });
    const seen = (
      objects: Iterable<{ close(): void; fd: { number: number } } & Disposable>,
      wanted: number,
    ) => {
      let found = false;
      for (const object of objects) {
        using one = object;
        const of = one instanceof BpfMap ? one.info : one instanceof BpfProgram ? one.info() : undefined;
        found ||= of?.id === wanted;
      }
      return found;
    };
    assertNoFdLeak(() => {
      assert.equal(seen(allMaps(), map.info.id), true);
      assert.equal(seen(allPrograms(), info.id), true);
      assert.equal(seen(allLinks(), 0), false);
    });
  });

  test("run statistics are counted while they are on", () => {
    using loaded = loadCollection(spec, { programs });
    const run = () => loaded.program("first").testRun({ data: new Uint8Array(64), repeat: 10 });
    run();
    const before = loaded.program("first").info();
    using _stats = enableRunStats();
    run();
    const { runs, runTimeNs } = loaded.program("first").info();
    assert.equal(runs - before.runs, 10n);
    assert.ok(runTimeNs > before.runTimeNs);
  });
});
