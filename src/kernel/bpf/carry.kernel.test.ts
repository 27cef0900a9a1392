// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { afterEach, suite, test } from "node:test";
import { MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap, possibleCpus } from "#kernel/bpf/map.ts";
import { mapWrites } from "#kernel/bpf/map-writes.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { mountBpffs } from "#kernel/mounts.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { assertNoFdLeak } from "#kit/fd-leak.ts";
import { writeService } from "#kit/service-entries.ts";
import { serviceMapSizes } from "#services/capacity.ts";

const directory = `/sys/fs/bpf/weft-test-carry-${process.pid}`;
const layout = (version: number) =>
  loadCollection(compiledSpec(`src/kernel/bpf/testdata/layout-${version}.bpf.c`), {
    pinDir: directory,
    pin: () => true,
    onIncompatible: "rebuild",
  });
const carriedOf = ({ carried }: Collection, name: string) => carried.find((one) => one.name === name)!;

/** `struct place` of layout 1. */
function place(n: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(20));
  view.setUint32(0, n, true);
  view.setUint32(12, 9, true);
  view.setUint16(16, 8080);
  return new Uint8Array(view.buffer);
}

/** That of layout 2. */
const newPlace = (n: number) => Uint8Array.from([...place(n), 0, 0, 0, 0]);

/** `struct visits` of layout 1. */
function visits(n: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, n, true);
  view.setUint32(4, n + 1, true);
  view.setUint16(8, 0x8001, true);
  view.setUint16(10, 0x1234);
  view.setUint32(12, 77, true);
  return new Uint8Array(view.buffer);
}

suite("services in maps of another size", () => {
  mountBpffs();
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  const spec = compiledSpec("bpf/sock.bpf.c");
  const load = (services: number) =>
    loadCollection(spec, {
      pinDir: directory,
      pin: ({ name }) => !name.startsWith("."),
      maxEntries: serviceMapSizes({ capacity: services, algorithm: "maglev" }),
      onIncompatible: "rebuild",
      programs: [],
    });
  const contents = ({ maps }: Collection) =>
    Object.keys(serviceMapSizes({ capacity: 1, algorithm: "maglev" })).map((name) => [
      name,
      [...maps.get(name)!.entries()].map(String).toSorted(),
    ]);

  test("are all there, tables of backends too, which are the same maps", () => {
    assertNoFdLeak(() => {
      const before = load(8);
      const backends = [1, 2, 3].map((id) => ({ id, address: `10.0.0.${id}`, port: 8080 }));
      for (const id of [1, 2])
        writeService(before.maps, {
          id,
          address: "10.96.0.1",
          port: id,
          proto: 6,
          backends,
          table: [1, 2, 3],
        });
      const were = contents(before);
      before.close();
      for (const services of [16, 16, 4]) {
        using now = load(services);
        assert.deepEqual(contents(now), were);
        assert.equal(now.map("lb_tables").info.maxEntries, services);
      }
    });
  });

  test("a map of maps with nothing in it stays, and one whose inner maps would not do is made anew", () => {
    const id = (services: number) => {
      using loaded = load(services);
      return loaded.map("lb_tables").info.id;
    };
    const first = id(8);
    const written = () => mapWrites().get("lb_tables")?.updates ?? 0;
    const before = written();
    assert.equal(id(8), first);
    assert.equal(written(), before, "nothing is written to find that out");
    rmSync(`${directory}/lb_tables`);
    using other = BpfMap.create({
      name: "row",
      type: MapType.array,
      keySize: 4,
      valueSize: 8,
      maxEntries: 1,
    });
    const { keySize, valueSize, flags, type } = spec.maps.get("lb_tables")!;
    using odd = BpfMap.create({
      name: "lb_tables",
      type,
      keySize,
      valueSize,
      maxEntries: 16,
      flags,
      innerMap: other,
    });
    odd.pin(`${directory}/lb_tables`);
    assert.notEqual(id(8), odd.info.id);
  });
});

suite("a pinned map of another layout", () => {
  mountBpffs();
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test("hands its content over, field by field", () => {
    assertNoFdLeak(() => {
      {
        using old = layout(1);
        for (let n = 0; n < 20; n++) old.map("visits").update(place(n), visits(n));
      }
      using now = layout(2);
      const carried = carriedOf(now, "visits");
      assert.deepEqual([carried.elements, carried.refused], [20, undefined]);
      assert.equal([...now.map("visits").entries()].length, 20);
      const value = now.map("visits").lookup(newPlace(7));
      assert.ok(value);
      const view = new DataView(value.buffer, value.byteOffset);
      assert.equal(view.getUint16(0), 0x1234, "the mark has moved");
      assert.equal(view.getUint16(2, true), 0, "a new field is zero");
      assert.equal(view.getUint32(4, true), 0x8001, "the flags have grown");
      assert.equal(view.getBigUint64(8, true), 0n);
      assert.deepEqual([view.getUint32(16, true), view.getUint32(20, true)], [7, 8]);
      using pinned = BpfMap.openPinned(`${directory}/visits`);
      assert.equal(pinned.info.id, now.map("visits").info.id);
    });
  });

  test("of every CPU too", () => {
    const key = new Uint8Array(4);
    {
      using old = layout(1);
      const value = new Uint8Array(old.map("per_cpu").valueBytes);
      for (let cpu = 0; cpu < possibleCpus(); cpu++) value.set(visits(cpu), cpu * 16);
      old.map("per_cpu").update(key, value);
    }
    using now = layout(2);
    const value = now.map("per_cpu").lookup(key)!;
    for (let cpu = 0; cpu < possibleCpus(); cpu++)
      assert.equal(new DataView(value.buffer).getUint32(cpu * 24 + 16, true), cpu);
  });

  test("what programs write into it meanwhile follows, and what is newer stays", () => {
    using old = layout(1);
    old.map("visits").update(place(1), visits(1));
    using now = layout(2);
    old.map("visits").update(place(1), visits(50));
    old.map("visits").update(place(2), visits(2));
    const carried = carriedOf(now, "visits");
    assert.equal(carried.takeRest(), 1);
    const packets = (n: number) =>
      new DataView(now.map("visits").lookup(newPlace(n))!.buffer).getUint32(16, true);
    assert.deepEqual([packets(1), packets(2)], [1, 2]);
  });

  test("of another version starts empty, and says so", () => {
    {
      using old = layout(2);
      old.map("visits").update(new Uint8Array(24), new Uint8Array(24));
    }
    using now = layout(3);
    assert.deepEqual([...now.map("visits").entries()], []);
    assert.equal(carriedOf(now, "visits").refused, "value: layout version 1 instead of 2");
  });

  test("a field that a key has lost, or that is narrower, is not guessed", () => {
    {
      using old = layout(2);
      old.map("visits").update(new Uint8Array(24), new Uint8Array(24));
    }
    using now = layout(1);
    assert.equal(carriedOf(now, "visits").refused, "key: kind is gone");
    assert.match(
      carriedOf(now, "per_cpu").refused!,
      /^value: flags was unsigned 4 bytes, is unsigned 2 bytes$/,
    );
  });

  test("stays when all that is new stands in its padding; not the other way round", () => {
    const id = (version: number) => {
      using loaded = layout(version);
      return loaded.map("padded").info.id;
    };
    const first = id(4);
    assert.deepEqual([id(5), id(4), id(5)], [first, first, first]);
    rmSync(`${directory}/padded`);
    const later = id(5);
    assert.notEqual(id(4), later);
  });
});
