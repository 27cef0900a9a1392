// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { tableSizes } from "#model/settings.ts";
import { maglevTable, tableSignature } from "#services/maglev.ts";

const keysOf = (count: number, seed: number) =>
  Array.from({ length: count }, (_, n) => ({ key: `10.${seed}.${n >> 8}.${n & 255}:8080/TCP`, weight: 1 }));

test("a backend of 160 that leaves disturbs at most one connection in a hundred of the others', in a large table", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 160 }), fc.nat(255), fc.nat(), (count, seed, who) => {
      const size = 65_521;
      const before = keysOf(count, seed);
      const gone = who % count;
      const after = before.filter((_, at) => at !== gone);
      const was = maglevTable(before, size);
      const is = maglevTable(after, size);
      let moved = 0;
      for (let place = 0; place < size; place++)
        if (was[place] !== gone && before[was[place]!] !== after[is[place]!]) moved++;
      assert.ok(moved <= size / 100, `${moved} of ${size} places moved, ${count} backends`);
    }),
    { numRuns: 25 },
  );
});

test("each backend has its share of the places, whatever order they come in", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 1, maxLength: 40 }),
      fc.nat(255),
      (weights, seed) => {
        const size = 4093;
        const shares = keysOf(weights.length, seed).map(({ key }, at) => ({ key, weight: weights[at]! }));
        const table = maglevTable(shares, size);
        const sum = weights.reduce((a, b) => a + b, 0);
        const heaviest = Math.max(...weights);
        const counts = weights.map(() => 0);
        for (const at of table) counts[at]!++;
        counts.forEach((count, at) => {
          const wanted = (size * weights[at]!) / sum;
          assert.ok(Math.abs(count - wanted) <= 1 + heaviest, `${count} places, ${wanted} wanted`);
        });
        const turned = shares.toReversed();
        const other = maglevTable(turned, size);
        for (let place = 0; place < size; place++)
          assert.equal(turned[other[place]!]?.key, shares[table[place]!]?.key);
        assert.equal(tableSignature(turned, size), tableSignature(shares, size));
      },
    ),
    { numRuns: 40 },
  );
});

test("a signature differs by backends, weights and size", () => {
  const shares = keysOf(3, 1);
  const all = [
    tableSignature(shares, 251),
    tableSignature(shares, 509),
    tableSignature(shares.slice(1), 251),
    tableSignature([{ ...shares[0]!, weight: 2 }, ...shares.slice(1)], 251),
  ];
  assert.equal(new Set(all).size, all.length);
});

test("sizes are primes", () => {
  for (const size of tableSizes)
    for (let divisor = 2; divisor * divisor <= size; divisor++) assert.notEqual(size % divisor, 0);
  assert.equal(maglevTable([], 251).length, 0);
});
