// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { BtfKind, btfFind, btfSize } from "#kernel/bpf/btf.ts";
import { AttachType, MapFlag, MapType, ProgramType, programKind } from "#kernel/bpf/kinds.ts";
import { parseObject } from "#kernel/bpf/spec.ts";
import { compiledSpec } from "#kit/bpf-object.ts";

const spec = compiledSpec("src/kernel/bpf/testdata/first.bpf.c");

test("maps come out as the source defines them", () => {
  const { type, keySize, valueSize, maxEntries, flags } = spec.maps.get("pairs")!;
  assert.deepEqual([type, keySize, valueSize, maxEntries, flags], [MapType.hash, 4, 8, 64, 0]);
  const outer = spec.maps.get("outer")!;
  assert.equal(outer.type, MapType.hashOfMaps);
  assert.equal(outer.valueSize, 4);
  assert.deepEqual(
    [outer.inner!.type, outer.inner!.keySize, outer.inner!.valueSize, outer.inner!.flags],
    [MapType.lpmTrie, 8, 4, MapFlag.noPrealloc],
  );
  assert.deepEqual(spec.maps.get("outer_array")!.references, [{ index: 1, name: "inner_one" }]);
  assert.deepEqual(spec.maps.get("jumps")!.references, [{ index: 1, name: "tail" }]);
  assert.deepEqual([...spec.maps.get(".data")!.contents!], [40, 0, 0, 0]);
  assert.equal(spec.maps.get(".bss")!.valueSize, 8);
});

test("variables, license, kinds of programs", () => {
  assert.equal(spec.license, "Dual BSD/GPL");
  const { section, offset, size } = spec.variables.get("limit")!;
  assert.deepEqual([section, offset, size], [".rodata", 8, 4]);
  assert.equal(spec.programs.get("count")!.kind.type, ProgramType.schedCls);
  assert.equal(spec.programs.get("pass")!.kind.type, ProgramType.xdp);
  assert.equal(programKind("cgroup/connect6")!.attachType, AttachType.cgroupInet6Connect);
  assert.equal(programKind("raw_tp/kfree_skb")!.type, ProgramType.rawTracepoint);
  assert.equal(programKind("nonsense"), undefined);
  assert.equal(programKind("constructor"), undefined);
});

test("each program carries the functions it needs, once, with their source lines", () => {
  const { instructions, functionInfo, lineInfo, references } = spec.programs.get("count")!;
  assert.equal(functionInfo.count, 3, "itself, twice and global_add");
  assert.ok(lineInfo.count > 10);
  const used = new Set(references.map(({ map }) => map));
  assert.deepEqual([...used].sort(), [".bss", ".data", ".rodata", "counters"]);
  for (const { instruction } of references) assert.equal(instructions[instruction * 8], 0x18);
  assert.equal(spec.programs.has("twice"), false);
  assert.equal(spec.programs.has("global_add"), false);
});

test("types by name, with their size", () => {
  const pair = btfFind(spec.btf, BtfKind.struct, "pair")!;
  assert.equal(btfSize(spec.btf, pair.id), 8);
  assert.deepEqual(
    pair.members.map(({ name, bitOffset }) => [name, bitOffset]),
    [
      ["a", 0],
      ["b", 32],
    ],
  );
});

test("what is no BPF object is refused with what is wrong", () => {
  const refuse = (bytes: Uint8Array, why: RegExp) =>
    assert.throws(() => parseObject(bytes), { code: "E_BPF_OBJECT", message: why });
  refuse(new Uint8Array(), /no ELF header/);
  refuse(Buffer.from("#!/bin/sh\n".repeat(20)), /no ELF header/);
});
