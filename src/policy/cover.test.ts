// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { type Covering, cover, none, portTree, type Segment } from "./cover.ts";

function at(entries: readonly Covering[], port: number, inherited: number): number {
  let best: Covering | undefined;
  for (const entry of entries) {
    const shift = 16 - entry.bits;
    if (entry.port >>> shift === port >>> shift && (!best || entry.bits > best.bits)) best = entry;
  }
  return best?.label ?? inherited;
}

function segments(...list: readonly (readonly [number, ...number[]])[]): Segment[] {
  return list.map(([first, ...labels], index) => ({
    first,
    last: (list[index + 1]?.[0] ?? 65536) - 1,
    accepts: new Set(labels),
  }));
}

test("a range is the fewest blocks", () => {
  const found = cover(portTree(segments([0, none, 1], [1024, 0], [2048, none, 1])), none);
  assert.deepEqual(found, [{ port: 1024, bits: 6, label: 0 }]);
  const odd = cover(portTree(segments([0, none, 1], [1000, 0], [1999, none, 1])), none);
  assert.ok(odd.length <= 7, "999 ports");
});

test("all but one port is a block and a hole when something may stand in the hole", () => {
  const found = cover(portTree(segments([0, 0], [22, 1, none], [23, 0])), none);
  assert.deepEqual(found, [
    { port: 0, bits: 0, label: 0 },
    { port: 22, bits: 16, label: 1 },
  ]);
});

test("every port gets a label it accepts, or what it inherits", () => {
  const starts = fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { maxLength: 6 });
  const accepts = fc.tuple(fc.uniqueArray(fc.nat(3), { minLength: 1 }), fc.boolean());
  const ports = fc.array(fc.nat(65535), { minLength: 8, maxLength: 8 });
  const cases = fc.property(
    starts,
    fc.array(accepts, { minLength: 7, maxLength: 7 }),
    ports,
    fc.constantFrom(none, 0, 1),
    (cuts, sets, asked, inherited) => {
      const list = [0, ...cuts.sort((a, b) => a - b)].map((first, index): [number, ...number[]] => {
        const [labels, free] = sets[index]!;
        return [first, ...labels, ...(free ? [none] : [])];
      });
      const wanted = segments(...list);
      const entries = cover(portTree(wanted), inherited);
      for (const port of [...asked, ...wanted.flatMap(({ first, last }) => [first, last])]) {
        const segment = wanted.find(({ first, last }) => first <= port && port <= last)!;
        const label = at(entries, port, inherited);
        assert.ok(segment.accepts.has(label), `${port}: ${label}`);
      }
      assert.ok(entries.every(({ label }) => label !== none));
    },
  );
  fc.assert(cases, { numRuns: 500 });
});
