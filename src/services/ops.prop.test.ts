// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import fc from "#kit/property.ts";
import { memoryServiceMaps } from "#kit/service-maps.ts";
import { parseAddress, parsePrefix } from "#model/ip.ts";
import { type FrontendEntry, frontendEntry } from "#services/entries.ts";
import { idsBeforeNow, ServiceOps } from "#services/ops.ts";
import { type Backend, type Frontend, frontendKey, tupleText } from "#services/service.ts";
import { slotsOfRows } from "#services/slot-rows.ts";
import { frontendIdTable } from "#services/table.ts";
import { Database } from "#store/table.ts";

const log = pino({ level: "silent" });

/** Whether a pod terminates is a fact of the pod: all services that have it say the same. */
const backendArbitrary = (most: number) =>
  fc.nat(most).map(
    (n): Backend => ({
      address: parseAddress(n % 2 ? `10.0.0.${n}` : `fd00::${n}`),
      port: 8080,
      proto: 6,
      ready: true,
      serving: true,
      terminating: n > 4,
    }),
  );
const backendsArbitrary = fc.oneof(
  { weight: 3, arbitrary: fc.uniqueArray(backendArbitrary(7), { maxLength: 6, selector: tupleText }) },
  // More than a row of slots, and more than two.
  { weight: 1, arbitrary: fc.uniqueArray(backendArbitrary(60), { maxLength: 40, selector: tupleText }) },
);
const frontendArbitrary = fc
  .record({
    n: fc.nat(4),
    all: backendsArbitrary,
    draining: fc.nat(20),
    affinity: fc.boolean(),
    local: fc.boolean(),
    maglev: fc.boolean(),
    ranges: fc.uniqueArray(fc.constantFrom(...["10.0.0.0/8", "0.0.0.0/0", "1.2.3.4/32"].map(parsePrefix))),
  })
  .map(
    ({ n, all, draining, affinity, local, maglev, ranges }): Frontend => ({
      namespace: "ns",
      name: `svc${n}`,
      portName: "http",
      type: "ClusterIP",
      address: parseAddress(`10.96.0.${n}`),
      port: 80,
      proto: 6,
      backends: all.slice(draining),
      draining: all.slice(0, draining),
      ...(affinity && { affinitySec: 60 }),
      ...(maglev && { algorithm: "maglev" as const }),
      ...(local && { scope: "local" }),
      ...(ranges.length > 0 && { sourceRanges: ranges }),
    }),
  );
const stepArbitrary = fc.oneof(
  fc.record({
    update: fc.uniqueArray(frontendArbitrary, { minLength: 1, maxLength: 4, selector: frontendKey }),
  }),
  fc.record({ remove: fc.uniqueArray(fc.nat(4), { maxLength: 3 }) }),
  fc.record({ restart: fc.constant(true) }),
  /** The map refuses the write number so and so of the next update. */
  fc.record({ failAt: fc.nat(20) }),
);

function onEachWrite(maps: ReturnType<typeof memoryServiceMaps>, then: () => void): void {
  const { frontends, slots, backends, reverse, sourceRanges, tables } = maps;
  for (const map of [frontends, slots, backends, reverse, sourceRanges, tables]) map.onWrite = then;
}

/** No packet, at any moment between two writes, may meet a slot without a backend. */
function checkEachWrite(maps: ReturnType<typeof memoryServiceMaps>): void {
  const slots = slotsOfRows(maps.slots.entries());
  for (const [, frontend] of maps.frontends.entries()) {
    for (let at = 0; at < frontend.count; at++) {
      const id = slots.get(frontend.id)?.[at];
      assert.ok(id && maps.backends.get({ id }), `slot ${at + 1} of ${frontend.id} leads nowhere`);
    }
    const table = frontend.tableSize > 0 ? maps.tables.content.get(frontend.table) : undefined;
    if (frontend.tableSize > 0) assert.ok(table, `${frontend.id} has no table`);
    for (const id of new Set(table))
      assert.ok(maps.backends.get({ id }), `the table of ${frontend.id} leads nowhere`);
  }
}

test("whatever comes, the maps become what is wanted, no slot ever leads nowhere, and a restart writes nothing", () => {
  fc.assert(
    fc.property(fc.array(stepArbitrary, { maxLength: 15 }), (steps) => {
      const maps = memoryServiceMaps();
      const wanted = new Map<string, FrontendEntry>();
      const db = new Database();
      const frontendIds = frontendIdTable(db);
      let ops = new ServiceOps({ db, frontendIds, maps, log });
      let failIn = -1;
      onEachWrite(maps, () => {
        checkEachWrite(maps);
        if (failIn >= 0 && failIn-- === 0) throw new Error("refused");
      });
      for (const step of steps) {
        if ("update" in step) {
          const batch = new Map(step.update.map((row) => [frontendKey(row), frontendEntry(row, 61)]));
          const failures = ops.update(batch);
          failIn = -1;
          const failed = new Map([...batch].filter(([key]) => failures?.has(key)));
          checkEachWrite(maps);
          assert.equal(ops.update(failed)?.size ?? 0, 0);
          for (const [key, entry] of batch) wanted.set(key, entry);
        } else if ("remove" in step) {
          const batch = new Map<string, FrontendEntry>();
          for (const n of step.remove) {
            const key = `10.96.0.${n}:80/TCP`;
            const entry = wanted.get(key);
            if (entry) batch.set(key, entry);
            wanted.delete(key);
          }
          failIn = -1;
          ops.delete(batch);
        } else if ("restart" in step) {
          failIn = -1;
          maps.takeWrites();
          ops = new ServiceOps({ db, frontendIds, maps, log });
          ops.list();
          ops.update(wanted);
          assert.equal(maps.takeWrites(), 0);
        } else {
          failIn = step.failAt;
        }
        // A refused deletion leaves a backend that nothing leads to, until the next one.
        const stray = (line: string) => line.startsWith("stray backend");
        assertMaps(
          maps.dump().filter((line) => !stray(line)),
          wanted,
        );
      }
      for (const key of wanted.keys()) assert.equal([...frontendIds.by("frontend", key)].length, 1);
      failIn = -1;
      ops.delete(wanted);
      assert.deepEqual([maps.dump(), frontendIds.size], [[], 0]);
    }),
    { numRuns: 500 },
  );
});

test("an agent that died between any two writes leaves what the next one puts right", () => {
  fc.assert(
    fc.property(frontendArbitrary, frontendArbitrary, fc.nat(30), (before, after, diesAt) => {
      const maps = memoryServiceMaps();
      const db = new Database();
      const frontendIds = frontendIdTable(db);
      const ops = new ServiceOps({ db, frontendIds, maps, log });
      ops.update(new Map([[frontendKey(before), frontendEntry(before, 61)]]));
      let writes = 0;
      onEachWrite(maps, () => {
        if (writes++ >= diesAt) throw new Error("dead");
      });
      const wanted = new Map([[frontendKey(after), frontendEntry(after, 61)]]);
      try {
        ops.update(wanted);
      } catch {
        // What a dead agent thinks is nobody's concern.
      }
      onEachWrite(maps, () => {});
      const next = new ServiceOps({ db, frontendIds, maps, log });
      const listed = next.list();
      next.delete(new Map([...listed].filter(([key]) => !wanted.has(key))));
      next.update(wanted);
      assertMaps(maps.dump(), wanted);
    }),
    { numRuns: 500 },
  );
});

test("numbers one agent took back are not given again by the next", () => {
  const maps = memoryServiceMaps();
  const db = new Database();
  const frontendIds = frontendIdTable(db);
  const entry = (n: number) => {
    const row: Frontend = {
      namespace: "ns",
      name: "svc",
      portName: "http",
      type: "ClusterIP",
      address: parseAddress("10.96.0.1"),
      port: 80,
      proto: 6,
      backends: [n, 9].map((last) => ({
        address: parseAddress(`10.0.0.${last}`),
        port: 80,
        proto: 6,
        ready: true,
        serving: true,
        terminating: false,
      })),
    };
    return new Map([[frontendKey(row), frontendEntry(row, 61)]]);
  };
  const ids = () => [...maps.backends.entries()].map(([{ id }]) => id);
  const secondNs = 1_000_000_000n;
  const agent = (atNs: bigint) => {
    const ops = new ServiceOps({ db, frontendIds, maps, lastId: idsBeforeNow(atNs), log });
    ops.list();
    return ops;
  };
  const first = agent(100n * secondNs);
  first.update(entry(1));
  const frontend = [...maps.frontends.entries()][0]![1].id;
  const given = new Set(ids());
  first.update(entry(9));
  agent(101n * secondNs).update(entry(2));
  const again = ids().filter((id) => given.has(id));
  assert.equal(again.length, 1, "only the backend that stayed");
  const third = agent(102n * secondNs);
  third.delete(entry(2));
  agent(103n * secondNs).update(entry(3));
  assert.ok([...maps.frontends.entries()][0]![1].id > frontend);
});

function assertMaps(dump: string[], wanted: ReadonlyMap<string, FrontendEntry>): void {
  const got = dump.map((line) => {
    const [head, active, draining] = line.split(/ -> | \| /);
    const sorted = (part: string | undefined) =>
      (part ?? "").split(" ").filter(Boolean).sort().join(" ").replaceAll("!", "");
    return `${head!.replace(/ id=\d+/, "")} -> ${sorted(active)} | ${sorted(draining)}`;
  });
  const want = [...wanted].map(([key, entry]) => {
    const sorted = (backends: FrontendEntry["backends"]) => backends.map(tupleText).sort().join(" ");
    const from = entry.sourceRanges.size > 0 ? ` from=${[...entry.sourceRanges].sort().join(",")}` : "";
    const table = entry.table ? ` table=${entry.table.size}` : "";
    return `${key} flags=${entry.flags}${table}${from} -> ${sorted(entry.backends)} | ${sorted(entry.draining)}`;
  });
  assert.deepEqual(got, want.sort());
}
