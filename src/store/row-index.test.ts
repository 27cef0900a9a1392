// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { RowIndex } from "./row-index.ts";

interface Row {
  readonly key: string;
  readonly version: number;
}

test("whatever is added and taken away, a value has the newest row of each key", () => {
  const step = fc.record({
    value: fc.constantFrom("x", "y"),
    key: fc.constantFrom("a", "b", "c"),
    add: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const index = new RowIndex<Row>((row) => row.key);
      const wanted = new Map<string, Map<string, Row>>([
        ["x", new Map()],
        ["y", new Map()],
      ]);
      steps.forEach(({ value, key, add }, version) => {
        const row = { key, version };
        if (add) index.add(value, key, row);
        else index.delete(value, key);
        if (add) wanted.get(value)!.set(key, row);
        else wanted.get(value)!.delete(key);
        for (const [one, rows] of wanted)
          assert.deepEqual(new Map(Array.from(index.rows(one), (found) => [found.key, found])), rows);
      });
    }),
  );
});

test("rows may be taken away while they are read", () => {
  const index = new RowIndex<Row>((row) => row.key);
  for (const key of ["a", "b", "c"]) index.add("x", key, { key, version: 0 });
  for (const { key } of index.rows("x")) index.delete("x", key);
  assert.deepEqual([...index.rows("x")], []);
});
