// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeClient } from "#k8s/client.ts";
import { eventually } from "#kit/eventually.ts";
import { createHealth } from "#lib/health.ts";
import { createLogger } from "#lib/log.ts";
import { Database } from "#store/table.ts";
import type { NodePolicies } from "./node-status.ts";
import { endpointPolicyTable, policyCostTable, policyMapTable, policyRefusalTable } from "./table.ts";
import { startNodePolicyStatus, statusPace } from "./tell-node-status.ts";

test("all nodes together write ten times a second at most, one after the other", () => {
  const nodes = (count: number) => Array.from({ length: count }, (_, i) => ({ name: `n${1000 + i}` }));
  const pace = (count: number, own: number) => statusPace(() => nodes(count), `n${1000 + own}`);
  assert.deepEqual(
    [1, 20, 100, 1000].map((count) => pace(count, 0).intervalMs()),
    [2000, 2000, 10_000, 100_000],
  );
  assert.deepEqual(
    [0, 50, 99].map((own) => pace(100, own).turn()),
    [0, 0.5, 0.99],
  );
  assert.equal(statusPace(() => [], "n1").turn(), 0);
});

/** A wait is a turn of the event loop. */
function soon(_ms: number, callback: () => void): () => void {
  const timer = setImmediate(callback);
  return () => clearImmediate(timer);
}

function syncedTables(db: Database) {
  const tables = {
    costs: policyCostTable(db),
    refusals: policyRefusalTable(db),
    endpointPolicies: endpointPolicyTable(db),
    policyMaps: policyMapTable(db),
  };
  tables.endpointPolicies.source("test").synced();
  tables.policyMaps.source("test").synced();
  return tables;
}

test("a node is well before its turn comes, too", async () => {
  const health = createHealth();
  const stop = new AbortController();
  await using _job = startNodePolicyStatus(
    {
      ...{
        client: {} as KubeClient,
        ...syncedTables(new Database()),
        health,
        log: createLogger("test", "silent"),
      },
      node: () => ({ name: "n1" }),
      pace: { intervalMs: () => 100_000, turn: () => 0.5 },
      clock: { now: () => 0, after: () => () => undefined },
    },
    stop.signal,
  );
  await eventually(() =>
    assert.deepEqual(
      health.rows().map((row) => row.level),
      ["ok"],
    ),
  );
  stop.abort();
});

test("what says nothing new is not written", async () => {
  const db = new Database();
  const tables = syncedTables(db);
  const sent: number[] = [];
  const client = {
    patch: async (_resource: object, _ref: object, { body }: { body: NodePolicies }) => {
      sent.push(body.policies[0]?.entries ?? 0);
    },
  } as unknown as KubeClient;
  const stop = new AbortController();
  await using _job = startNodePolicyStatus(
    {
      ...{ client, ...tables, health: createHealth(), log: createLogger("test", "silent") },
      node: () => ({ name: "n1" }),
      pace: { intervalMs: () => 1, turn: () => 0 },
      clock: { now: () => 0, after: soon },
    },
    stop.signal,
  );
  const cost = (entries: number) =>
    db.write((tx) => tx.put(tables.costs, { policy: "NetworkPolicy shop/web", entries, maps: 1 }));
  cost(1234);
  await eventually(() => assert.deepEqual(sent.at(-1), 1200));
  const writes = sent.length;
  for (const entries of [1235, 1190, 1249]) cost(entries);
  cost(1300);
  await eventually(() => assert.deepEqual(sent.slice(writes), [1300]));
  stop.abort();
});
