// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { typedMap, u32Layout } from "#kernel/bpf/typed-map.ts";
import { createHealth } from "#lib/health.ts";
import { createLogger } from "#lib/log.ts";
import { Database } from "#store/table.ts";
import { readPolicies, startPolicyReconciler } from "./ops.ts";
import type { PolicyEntry, ResolvedPolicy } from "./rule.ts";
import { policyMapTable } from "./table.ts";

const lpm = { type: MapType.lpmTrie, keySize: 12, valueSize: 16, maxEntries: 16, flags: MapFlag.noPrealloc };

function outerMap(): BpfMap {
  using template = BpfMap.create({ name: "template", ...lpm });
  const shape = { name: "policies", type: MapType.hashOfMaps, keySize: 4, valueSize: 4, maxEntries: 64 };
  return BpfMap.create({ ...shape, innerMap: template });
}

function entry(identity: number, port: number, verdict: "allow" | "deny" = "allow"): PolicyEntry {
  return { direction: "ingress", identity, proto: 6, portBits: 16, port, verdict, precedence: 9, rule: 77 };
}

function policy(id: number, revision: number, entries: PolicyEntry[]): ResolvedPolicy {
  return { id, revision, enforceIngress: true, enforceEgress: false, entries };
}

/** A clock whose timers run when told. */
function handClock() {
  const timers = new Set<() => void>();
  return {
    now: () => 0,
    after: (_ms: number, callback: () => void) => {
      timers.add(callback);
      return () => timers.delete(callback);
    },
    elapse: () => {
      for (const timer of [...timers]) {
        timers.delete(timer);
        timer();
      }
    },
  };
}

async function start(outer: BpfMap, rows: ResolvedPolicy[], stack: AsyncDisposableStack) {
  const db = new Database();
  const policyMaps = policyMapTable(db);
  const source = policyMaps.source("test");
  const clock = handClock();
  const deps = { outer, policyMaps, db, health: createHealth(), log: createLogger("test", "silent"), clock };
  const reconciler = stack.use(startPolicyReconciler(deps, AbortSignal.timeout(10_000)));
  const put = async (...changed: ResolvedPolicy[]) => {
    db.write((tx) => {
      for (const row of changed) tx.put(policyMaps, row);
    });
    source.synced();
    await reconciler.waitUntil(policyMaps.revision);
  };
  const remove = async (id: number) => {
    db.write((tx) => tx.delete(policyMaps, String(id)));
    await reconciler.waitUntil(policyMaps.revision);
  };
  await put(...rows);
  return { reconciler, put, remove, clock };
}

const innerIds = (outer: BpfMap) => new Map(typedMap(outer, u32Layout, u32Layout).entries());
const sorted = (entries: PolicyEntry[] | undefined) =>
  [...(entries ?? [])].sort((a, b) => a.identity - b.identity);

test("what the table says is in the kernel, one element changed in place, more by a new map", async () => {
  using outer = outerMap();
  await using stack = new AsyncDisposableStack();
  const first = policy(0xfffffff0, 1, [entry(1000, 80), entry(1001, 443, "deny")]);
  const { reconciler, put } = await start(outer, [first], stack);
  assert.deepEqual(sorted(readPolicies(outer).get(first.id)), first.entries);
  assert.ok(reconciler.inForce(first.id, 1));
  const before = innerIds(outer).get(first.id);

  const one = policy(first.id, 2, [...first.entries, entry(1002, 8080)]);
  assert.ok(!reconciler.inForce(first.id, 2));
  await put(one);
  assert.deepEqual(sorted(readPolicies(outer).get(first.id)), one.entries);
  assert.ok(reconciler.inForce(first.id, 2) && !reconciler.inForce(first.id, 1));
  assert.equal(innerIds(outer).get(first.id), before, "in place");

  const many = policy(first.id, 3, [entry(1003, 1), entry(1004, 2)]);
  await put(many);
  assert.deepEqual(sorted(readPolicies(outer).get(first.id)), many.entries);
  assert.notEqual(innerIds(outer).get(first.id), before, "swapped");
});

test("an agent that comes back writes only what changed, and takes away what nobody wants after a while", async () => {
  using outer = outerMap();
  const kept = policy(1, 1, [entry(1000, 80)]);
  const changed = policy(2, 1, [entry(1000, 80), entry(1001, 80)]);
  const gone = policy(3, 1, [entry(1000, 80)]);
  {
    await using stack = new AsyncDisposableStack();
    await start(outer, [kept, changed, gone], stack);
  }
  const before = innerIds(outer);
  await using stack = new AsyncDisposableStack();
  const later = policy(2, 2, [entry(5000, 80), entry(5001, 80), entry(5002, 80)]);
  const { reconciler, remove, put, clock } = await start(outer, [kept, later], stack);
  const after = innerIds(outer);
  assert.equal(after.get(1), before.get(1), "untouched");
  assert.ok(reconciler.inForce(1, 1));
  assert.notEqual(after.get(2), before.get(2));
  assert.equal(after.get(3), before.get(3), "lingers");
  clock.elapse();
  assert.deepEqual([...innerIds(outer).keys()].sort(), [1, 2]);

  await remove(1);
  await put(kept);
  clock.elapse();
  assert.ok(innerIds(outer).has(1), "wanted again before its time was up");
});

test("a policy with more entries than a map holds is not in force, and the others are", async () => {
  using outer = outerMap();
  await using stack = new AsyncDisposableStack();
  const db = new Database();
  const policyMaps = policyMapTable(db);
  const deps = {
    outer,
    policyMaps,
    db,
    health: createHealth(),
    log: createLogger("test", "silent"),
    clock: handClock(),
  };
  const reconciler = stack.use(startPolicyReconciler(deps, AbortSignal.timeout(20_000)));
  const huge = policy(
    9,
    1,
    Array.from({ length: 131_073 }, (_, index) => entry(index + 1, 80)),
  );
  db.write((tx) => {
    tx.put(policyMaps, huge);
    tx.put(policyMaps, policy(8, 1, [entry(1, 80)]));
  });
  await Promise.all([reconciler.settled("8"), assert.rejects(reconciler.settled("9"), /more than 131072/)]);
  assert.ok(reconciler.inForce(8, 1));
  assert.ok(!readPolicies(outer).has(9));
});
