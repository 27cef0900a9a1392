// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { after, beforeEach, describe, test } from "node:test";
import { MapIncompatibleError } from "#kernel/bpf/compatible.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { mountBpfFs } from "#kernel/bpf/pin.ts";
import { BpfProgram } from "#kernel/bpf/program.ts";
import { typedMap, u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { assertNoFdLeak } from "#kit/fd-leak.ts";

const directory = `/sys/fs/bpf/weft-pin-test-${process.pid}`;
const spec = compiledSpec("src/kernel/bpf/testdata/hooks.bpf.c");
const programs = ["first"];

describe("pins", () => {
  beforeEach(() => {
    mountBpfFs();
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
      pin: ({ name }) => name !== "hits" && !name.startsWith("."),
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

  test("maps given by the caller are shared and stay open", () => {
    using first = loadCollection(spec, { programs });
    const second = loadCollection(spec, { programs, maps: { hits: first.map("hits") } });
    assert.equal(second.map("hits"), first.map("hits"));
    second.close();
    assert.equal(first.map("hits").fd.closed, false);
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
  });
});
