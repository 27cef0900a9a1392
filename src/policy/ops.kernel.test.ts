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
import { compareEntries, revisionOf } from "./revision.ts";
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

function policy(
  id: number,
  entries: PolicyEntry[],
  enforce = { enforceIngress: true, enforceEgress: false },
): ResolvedPolicy {
  const sorted = entries.sort(compareEntries);
  return {
    id,
    revision: revisionOf(sorted, enforce.enforceIngress, enforce.enforceEgress),
    ...enforce,
    entries: sorted,
  };
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

test("what the table says is in the kernel, in place what is one step for each packet, by a new map what is not", async () => {
  using outer = outerMap();
  await using stack = new AsyncDisposableStack();
  const first = policy(0xfffffff0, [entry(1000, 80), entry(1001, 443, "deny")]);
  const { reconciler, put } = await start(outer, [first], stack);
  assert.deepEqual(sorted(readPolicies(outer).get(first.id)), first.entries);
  assert.ok(reconciler.inForce(first.id, first.revision));
  const before = innerIds(outer).get(first.id);

  const one = policy(first.id, [...first.entries, entry(1002, 8080)]);
  assert.ok(!reconciler.inForce(first.id, one.revision));
  await put(one);
  assert.deepEqual(sorted(readPolicies(outer).get(first.id)), one.entries);
  assert.ok(reconciler.inForce(first.id, one.revision) && !reconciler.inForce(first.id, first.revision));
  assert.equal(innerIds(outer).get(first.id), before, "in place");

  const many = policy(first.id, [entry(0, 1), entry(1004, 2)]);
  await put(many);
  assert.deepEqual(sorted(readPolicies(outer).get(first.id)), many.entries);
  assert.notEqual(innerIds(outer).get(first.id), before, "swapped");
});

test("an agent that comes back writes only what changed, and takes away what nobody wants after a while", async () => {
  using outer = outerMap();
  const kept = policy(1, [entry(1000, 80)]);
  const changed = policy(2, [entry(1000, 80), entry(1001, 80)]);
  const gone = policy(3, [entry(1000, 80)]);
  {
    await using stack = new AsyncDisposableStack();
    await start(outer, [kept, changed, gone], stack);
  }
  const before = innerIds(outer);
  await using stack = new AsyncDisposableStack();
  const later = policy(2, [entry(0, 80), entry(5001, 80), entry(5002, 80)]);
  const { reconciler, remove, put, clock } = await start(outer, [kept, later], stack);
  const after = innerIds(outer);
  assert.equal(after.get(1), before.get(1), "untouched");
  assert.ok(reconciler.inForce(1, kept.revision));
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
    Array.from({ length: 131_072 }, (_, index) => entry(index + 1, 80)),
  );
  const fits = policy(8, [entry(1, 80)]);
  db.write((tx) => {
    tx.put(policyMaps, huge);
    tx.put(policyMaps, fits);
  });
  await Promise.all([reconciler.settled("8"), assert.rejects(reconciler.settled("9"), /more than 131071/)]);
  assert.ok(reconciler.inForce(8, fits.revision));
  assert.ok(!readPolicies(outer).has(9));
});
