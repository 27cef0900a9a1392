// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { createInnerMap } from "#kernel/bpf/make-map.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { openRingBuffer } from "#kernel/bpf/ringbuf.ts";
import { skBuffContext } from "#kernel/bpf/test-run.ts";
import { perCpu, typedMap, u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { assertNoFdLeak } from "#kit/fd-leak.ts";

const spec = compiledSpec("src/kernel/bpf/testdata/first.bpf.c");
const data = new Uint8Array(64);

test("subprograms, global functions and variables of all sections", () => {
  assertNoFdLeak(() => {
    using loaded = loadCollection(spec);
    // twice(limit) + config.b + start
    assert.equal(loaded.program("count").testRun({ data, repeat: 3 }).returned, 10 + 2 + 40);
    assert.equal(loaded.variable("seen").view.getBigUint64(0, true), 3n);
    loaded.variable("start").view.setUint32(0, 100, true);
    assert.equal(loaded.program("count").testRun({ data }).returned, 112);
    const counters = typedMap(loaded.map("counters"), u32Layout, perCpu(u64Layout));
    assert.equal(
      counters.get(0)!.reduce((a, b) => a + b),
      4n,
    );
    assert.equal(loaded.program("pass").testRun({ data }).returned, 2);
  });
});

test("constants are patched by name before the load", () => {
  const bytes = Uint8Array.from([9, 0, 0, 0, 7, 0, 0, 0]);
  using loaded = loadCollection(spec, { rodata: { config: bytes, limit: Uint8Array.from([1, 0, 0, 0]) } });
  assert.equal(loaded.program("count").testRun({ data }).returned, 2 + 7 + 40);
  assert.equal(loaded.variable("config").view.getUint32(0, true), 9);
  assert.throws(() => loadCollection(spec, { rodata: { start: bytes } }), { code: "E_BPF_OBJECT" });
  assert.throws(() => loadCollection(spec, { rodata: { limit: bytes } }), /has 4 bytes, given 8/);
});

test("a callback for bpf_loop is linked too", () => {
  using loaded = loadCollection(spec, { programs: ["loop"] });
  assert.equal(loaded.program("loop").testRun({ data }).returned, 20);
});

test("prog arrays and arrays of maps are filled as the source says", () => {
  using loaded = loadCollection(spec);
  assert.equal(loaded.program("jump").testRun({ data }).returned, 77);
  const outer = typedMap(loaded.map("outer_array"), u32Layout, u32Layout);
  assert.equal(outer.get(1), loaded.map("inner_one").info.id);
  assert.equal(outer.get(0), undefined);
});

test("map in map: inner maps of another size, swapped at run time", () => {
  using loaded = loadCollection(spec);
  const outer = typedMap(loaded.map("outer"), u32Layout, u32Layout);
  using inner = createInnerMap(spec.maps.get("outer")!, 1000);
  inner.update(Uint8Array.from([24, 0, 0, 0, 4, 3, 2, 0]), Uint8Array.from([42, 0, 0, 0]));
  assert.equal(loaded.program("lookup").testRun({ data }).returned, 0);
  outer.set(3, inner.fd.number);
  assert.equal(loaded.program("lookup").testRun({ data }).returned, 42);
  assert.equal(inner.info.maxEntries, 1000);
});

test("ring buffer: records, discarded ones, wrap and full", () => {
  using loaded = loadCollection(spec);
  using ring = openRingBuffer(loaded.map("events"));
  const emit = (mark: number) =>
    loaded.program("emit").testRun({ data, context: skBuffContext({ mark }) }).returned;
  const seen: number[] = [];
  let expected = 0;
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 10; i++) emit(expected++);
    ring.drain((view, offset, length) => {
      assert.equal(length, 16);
      assert.equal(view.getUint8(offset + 4), "h".charCodeAt(0));
      seen.push(view.getUint32(offset, true));
    }, 4);
    ring.drain((view, offset) => seen.push(view.getUint32(offset, true)));
    assert.equal(ring.pendingBytes(), 0);
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 200 }, (_, i) => i * 2),
  );
  assert.equal(ring.discarded, 200);
  // A callback that throws has had its record; the next goes on behind it.
  for (const mark of [10, 12, 14]) emit(mark);
  assert.throws(() => ring.drain(() => assert.fail("no")), /no/);
  ring.drain((view, offset) => seen.push(view.getUint32(offset, true)));
  assert.deepEqual(seen.slice(-2), [12, 14]);
  // 16 + 8 bytes a record: 170 fit into a page.
  assert.equal(Array.from({ length: 200 }, () => emit(2)).filter((failed) => failed === 0).length, 170);
  assert.equal(
    ring.drain(() => {}),
    170,
  );
});
