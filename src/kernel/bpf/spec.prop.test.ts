// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseElf } from "#kernel/bpf/elf.ts";
import { parseObject } from "#kernel/bpf/spec.ts";
import { compileBpf } from "#kit/bpf-object.ts";
import fc from "#kit/property.ts";
import { WeftError } from "#lib/errors.ts";

const whole = new Uint8Array(compileBpf("src/kernel/bpf/testdata/first.bpf.c"));
const elf = parseElf(whole);

/** Ranges of the file that matter: debug information is most of it and nobody reads it. */
const ranges = [
  { start: 0, length: 64 },
  { start: whole.length - elf.sections.length * 64, length: elf.sections.length * 64 },
  ...elf.sections
    .filter(({ name, data }) => data.length > 0 && !/debug|addrsig/.test(name))
    .map(({ data }) => ({ start: data.byteOffset - whole.byteOffset, length: data.length })),
];

const place = fc
  .nat(ranges.length - 1)
  .chain((i) => fc.nat(ranges[i]!.length - 1).map((at) => ranges[i]!.start + at));
const edits = fc.array(fc.tuple(place, fc.constantFrom(0, 1, 0x7f, 0x80, 0xff, 0x18, 0x85)), {
  minLength: 1,
  maxLength: 8,
});

/** Reads bytes; anything but success or a WeftError with its code is a fault of the reader. */
function readOrRefuse(bytes: Uint8Array): void {
  try {
    parseObject(bytes);
  } catch (error) {
    assert.ok(error instanceof WeftError, `${error instanceof Error ? error.stack : String(error)}`);
    assert.equal(error.code, "E_BPF_OBJECT");
  }
}

test("damaged objects are read or refused, never a crash", () => {
  fc.assert(
    fc.property(edits, (changes) => {
      const bytes = whole.slice();
      for (const [at, value] of changes) bytes[at] = value;
      readOrRefuse(bytes);
    }),
    { numRuns: 3000 },
  );
});

test("objects cut off anywhere, and noise", () => {
  fc.assert(
    fc.property(fc.nat(whole.length), (length) => readOrRefuse(whole.subarray(0, length))),
    { numRuns: 300 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
      const bytes = whole.slice(0, 64 + noise.length);
      bytes.set(noise, 64);
      readOrRefuse(bytes);
      readOrRefuse(noise);
    }),
    { numRuns: 500 },
  );
});

test("the same bytes give the same spec, wherever they stand in memory", () => {
  const moved = new Uint8Array(whole.length + 3).fill(0xee);
  moved.set(whole, 3);
  const before = whole.slice();
  assert.deepEqual(parseObject(moved.subarray(3)), parseObject(whole));
  assert.deepEqual(whole, before, "and stay as they are");
});
