// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { Database, type Tracker } from "#store/table.ts";

interface Row {
  readonly id: number;
  readonly color: string;
  readonly tags: readonly string[];
}

const rowArbitrary = fc.record(
  {
    id: fc.nat(7),
    color: fc.constantFrom("red", "green", "blue"),
    tags: fc.uniqueArray(fc.constantFrom("x", "y", "z"), { maxLength: 3 }),
  },
  { noNullPrototype: true },
);
const writeArbitrary = fc.record({
  steps: fc.array(fc.oneof(fc.record({ put: rowArbitrary }), fc.record({ remove: fc.nat(7) })), {
    maxLength: 8,
  }),
  throws: fc.boolean(),
  /** Which readers take their changes after this write. */
  reads: fc.subarray([0, 1, 2]),
});

test("a table agrees with a naive model: rows, indexes, roll-back, and what each reader is told", () => {
  fc.assert(
    fc.property(fc.array(writeArbitrary, { maxLength: 20 }), (writes) => {
      const db = new Database();
      const table = db.table<Row>({
        name: "t",
        key: (row) => String(row.id),
        indexes: { color: (row) => [row.color], tag: (row) => row.tags },
        columns: [],
        equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
      });
      let model = new Map<string, Row>();
      const readers = [0, 1, 2].map(() => ({
        tracker: table.track() as Tracker<Row>,
        view: new Map<string, Row>(),
      }));
      let commits = 0;
      table.onCommit(() => commits++);
      for (const { steps, throws, reads } of writes) {
        const next = new Map(model);
        const fault = new Error("on purpose");
        try {
          db.write((tx) => {
            for (const step of steps) {
              if ("put" in step) {
                tx.put(table, step.put);
                next.set(String(step.put.id), step.put);
              } else {
                tx.delete(table, String(step.remove));
                next.delete(String(step.remove));
              }
            }
            if (throws) throw fault;
          });
          model = next;
        } catch (thrown) {
          assert.equal(thrown, fault);
        }
        assertSame(new Map([...table.all()].map((row) => [table.keyOf(row), row])), model);
        assert.equal(table.revision, commits);
        for (const color of ["red", "green", "blue"]) {
          const want = [...model.values()].filter((row) => row.color === color);
          assert.deepEqual(ids(table.by("color", color)), ids(want));
        }
        for (const tag of ["x", "y", "z"]) {
          const want = [...model.values()].filter((row) => row.tags.includes(tag));
          assert.deepEqual(ids(table.by("tag", tag)), ids(want));
        }
        for (const at of reads) {
          const { tracker, view } = readers[at]!;
          for (const [key, change] of tracker.take()) {
            if (change.kind === "put") {
              view.set(key, change.row);
            } else {
              assert.deepEqual(view.get(key), change.row, "a deletion carries the row the reader knew");
              view.delete(key);
            }
          }
          assertSame(view, model);
          assert.equal(tracker.take().size, 0);
        }
      }
    }),
    { numRuns: 300 },
  );
});

function ids(rows: Iterable<Row>): number[] {
  return [...rows].map((row) => row.id).sort();
}

function assertSame(got: Map<string, Row>, want: Map<string, Row>): void {
  assert.deepEqual(
    [...got].sort(([a], [b]) => a.localeCompare(b)),
    [...want].sort(([a], [b]) => a.localeCompare(b)),
  );
}
