// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Prefix, parsePrefix } from "#model/ip.ts";
import { parseLabels } from "#model/labels.ts";
import { Database } from "#store/table.ts";
import { CidrIdentities } from "./cidr.ts";
import { startIpcacheController } from "./ipcache.ts";
import { Known } from "./known.ts";
import { identityTable, ipcacheClaimTable, ipcacheTable } from "./table.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

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
      for (const timer of [...timers]) timer();
    },
  };
}

function start() {
  const db = new Database();
  const identities = identityTable(db);
  const claims = ipcacheClaimTable(db);
  const ipcache = ipcacheTable(db);
  const clock = handClock();
  const known = new Known(identities, clock);
  const stack = new DisposableStack();
  stack.use(known);
  stack.use(startIpcacheController(db, claims, ipcache, { known }));
  return { db, identities, claims, ipcache, known, clock, [Symbol.dispose]: () => stack.dispose() };
}

const pod = (identity: number) => ({ prefix: parsePrefix("10.1.0.5/32"), identity, source: "endpoint" });
const labels = parseLabels(["k8s:app=web"]);

test("an address gets a new identity when the policies in the kernel know it, and has the old one until then", async () => {
  using world = start();
  const { db, identities, claims, ipcache, known } = world;
  db.write((tx) => tx.put(claims, pod(300)));
  assert.equal(ipcache.get("10.1.0.5/32")?.identity, 300, "nobody resolves what has no labels");
  db.write((tx) => {
    tx.put(identities, { id: 301, labels });
    tx.put(claims, pod(301));
  });
  assert.equal(ipcache.get("10.1.0.5/32")?.identity, 300);
  const written = Promise.withResolvers<void>();
  known.resolved(written.promise);
  await turn();
  assert.equal(ipcache.get("10.1.0.5/32")?.identity, 300);
  written.resolve();
  await turn();
  assert.equal(ipcache.get("10.1.0.5/32")?.identity, 301);
});

test("an identity that changes again waits again, and nothing waits for ever", async () => {
  using world = start();
  const { db, identities, claims, ipcache, known, clock } = world;
  db.write((tx) => tx.put(identities, { id: 301, labels }));
  known.resolved(Promise.resolve());
  db.write((tx) => {
    tx.put(identities, { id: 301, labels: parseLabels(["k8s:app=db"]) });
    tx.put(claims, pod(301));
  });
  await turn();
  assert.equal(ipcache.size, 0);
  known.resolved(new Promise(() => {}));
  clock.elapse();
  assert.equal(ipcache.get("10.1.0.5/32")?.identity, 301);
});

test("the addresses of nodes wait for nobody", () => {
  using world = start();
  const { db, identities, claims, ipcache } = world;
  db.write((tx) => {
    tx.put(identities, { id: 6, labels: parseLabels(["reserved:remote-node", "k8s:zone=a"]) });
    tx.put(claims, pod(6));
  });
  assert.equal(ipcache.size, 1);
});

test("packets have a prefix's identity only while the policies know it: after them when it comes, before them when it goes", async () => {
  using world = start();
  const { db, identities, claims, ipcache, known } = world;
  let gone = Promise.withResolvers<void>();
  const order = {
    whenKnown: (id: number, then: () => void) => known.whenKnown(id, then),
    withdrawn: () => gone.promise,
  };
  const cidrs = new CidrIdentities({ db, identities, claims, dualStack: false, order });
  const [outer, inner] = [parsePrefix("10.0.0.0/8"), parsePrefix("10.1.0.0/16")];
  const state = () => [
    [...identities.all()].filter(({ id }) => id > 65535).map(({ labels: all }) => [...all.keys()].length),
    [outer, inner].map((prefix) => ipcache.get(prefix) !== undefined),
  ];
  cidrs.require(new Set<Prefix>([outer]));
  known.resolved(Promise.resolve());
  await turn();
  assert.deepEqual(state(), [[2], [true, false]]);

  cidrs.require(new Set<Prefix>([outer, inner]));
  assert.deepEqual(
    state(),
    [
      [2, 3],
      [true, false],
    ],
    "the policies learn of it first",
  );
  known.resolved(Promise.resolve());
  await turn();
  assert.deepEqual(state(), [
    [2, 3],
    [true, true],
  ]);

  cidrs.require(new Set<Prefix>([outer]));
  assert.deepEqual(
    state(),
    [
      [2, 3],
      [true, false],
    ],
    "the policies forget it last",
  );
  cidrs.require(new Set<Prefix>([outer, inner]));
  gone.resolve();
  await turn();
  assert.deepEqual(
    state(),
    [
      [2, 3],
      [true, true],
    ],
    "wanted again before it was forgotten",
  );

  gone = Promise.withResolvers<void>();
  cidrs.require(new Set<Prefix>([outer]));
  gone.resolve();
  await turn();
  assert.deepEqual(state(), [[2], [true, false]]);
});
