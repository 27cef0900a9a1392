// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdirSync, rmSync } from "node:fs";
import { test } from "node:test";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { mountBpffs } from "#kernel/mounts.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { readEarlierSlots, writeEarlierSlots } from "#services/earlier-slots.ts";
import { serviceMaps } from "#services/maps.ts";
import { slotsOfRows } from "#services/slot-rows.ts";

const directory = `/sys/fs/bpf/weft-test-slots-${process.pid}`;
const spec = compiledSpec("bpf/sock.bpf.c");

test("slots that an earlier agent kept one by one are in rows before a program asks", (t) => {
  mountBpffs();
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  mkdirSync(directory);
  assert.equal(readEarlierSlots(directory).size, 0, "a node without maps");
  const words = (...of: number[]) => new Uint8Array(Uint32Array.from(of).buffer);
  const many = Array.from({ length: 20 }, (_, at) => 100 + at);
  {
    using old = BpfMap.create({
      name: "lb_slots",
      type: MapType.hash,
      flags: MapFlag.noPrealloc,
      keySize: 8,
      valueSize: 4,
      maxEntries: 64,
    });
    for (const [at, backend] of many.entries()) old.update(words(7, at + 1), words(backend));
    old.update(words(8, 1), words(5));
    old.pin(`${directory}/lb_slots`);
  }
  const load = () =>
    loadCollection(spec, {
      pinDir: directory,
      pin: ({ name }) => !name.startsWith("."),
      onIncompatible: "rebuild",
      programs: [],
    });
  const earlier = readEarlierSlots(directory);
  using loaded = load();
  writeEarlierSlots(loaded.map("lb_slots"), earlier);
  const slots = slotsOfRows(serviceMaps((name) => loaded.map(name)).slots.entries());
  assert.deepEqual(slots.get(7)?.slice(0, 21), [...many, 0]);
  assert.deepEqual(slots.get(8)?.slice(0, 2), [5, 0]);
  assert.equal(readEarlierSlots(directory).size, 0, "rows are no earlier slots");
});
