// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { KubeError } from "#k8s/errors.ts";
import { fakeClock, idle } from "#kit/clock.ts";
import { aborted } from "#lib/clock.ts";
import { createHealth } from "#lib/health.ts";
import { runElection } from "./leader.ts";
import { heldBy, type LeaseObject, mayTake, observe } from "./lease.ts";

const refused = (status: number, reason: string) => new KubeError(reason, { status, reason });

/** One Lease and its API server; `down` makes every request fail, `hang` lets it wait for its signal. */
function leaseServer() {
  let lease: LeaseObject | undefined;
  let version = 0;
  const state = { down: false, hang: false, writes: 0 };
  const answer = async <T>(signal: AbortSignal | undefined, work: () => LeaseObject): Promise<T> => {
    if (state.hang) {
      await aborted(signal!);
      throw signal!.reason;
    }
    if (state.down) throw refused(0, "Unreachable");
    return structuredClone(work()) as T;
  };
  const store = (object: LeaseObject): LeaseObject => {
    state.writes++;
    lease = { ...object, metadata: { ...object.metadata, resourceVersion: String(++version) } };
    return lease;
  };
  const client = {
    get: <T>(_: unknown, _ref: unknown, signal?: AbortSignal) =>
      answer<T>(signal, () => {
        if (!lease) throw refused(404, "NotFound");
        return lease;
      }),
    create: <T>(_: unknown, object: T, options?: { signal?: AbortSignal | undefined }) =>
      answer<T>(options?.signal, () => {
        if (lease) throw refused(409, "AlreadyExists");
        return store(object as LeaseObject);
      }),
    replace: <T>(_: unknown, object: T, options?: { signal?: AbortSignal | undefined }) =>
      answer<T>(options?.signal, () => {
        const { metadata } = object as LeaseObject;
        if (metadata?.resourceVersion !== lease?.metadata?.resourceVersion) throw refused(409, "Conflict");
        return store(object as LeaseObject);
      }),
  };
  return { client, state, lease: () => lease?.spec };
}

type LeaseServer = ReturnType<typeof leaseServer>;

function candidate(identity: string, server: LeaseServer, clock = fakeClock()) {
  const stop = new AbortController();
  const reach = leaseServer().state;
  const told = { leads: 0, leading: false };
  // Each candidate has a line of its own to the server, and a clock of its own.
  const through = <F extends (...args: never[]) => Promise<unknown>>(call: F): F =>
    (async (...args: never[]) => {
      if (reach.down) throw refused(0, "Unreachable");
      return call(...args);
    }) as F;
  const { client } = server;
  const finished = runElection({
    client: { get: through(client.get), create: through(client.create), replace: through(client.replace) },
    namespace: "kube-system",
    name: "leader",
    identity,
    leaseMs: 15_000,
    renewMs: 10_000,
    retryMs: 2_000,
    signal: stop.signal,
    health: createHealth(),
    log: pino({ level: "silent" }),
    clock,
    random: () => 0,
    async lead(signal) {
      told.leads++;
      told.leading = true;
      await aborted(signal);
      told.leading = false;
    },
  });
  return { stop, clock, told, reach, finished };
}

test("one of two leads, renews, and gives the lease up at its stop, so that the other leads at once", async () => {
  const server = leaseServer();
  const clock = fakeClock();
  const a = candidate("a", server, clock);
  await idle();
  const b = candidate("b", server, clock);
  await clock.advance(60_000);
  assert.deepEqual([a.told.leading, b.told.leading], [true, false]);
  assert.equal(server.lease()?.leaseTransitions, 0);
  assert.ok(server.state.writes >= 30);
  a.stop.abort();
  await a.finished;
  assert.equal(server.lease()?.holderIdentity, "");
  await clock.advance(2_000);
  assert.equal(b.told.leading, true);
  assert.deepEqual([server.lease()?.holderIdentity, server.lease()?.leaseTransitions], ["b", 1]);
  b.stop.abort();
  await b.finished;
});

test("a leader cut off stops its work before another begins, and is a candidate again later", async () => {
  const server = leaseServer();
  const clock = fakeClock();
  const a = candidate("a", server, clock);
  await idle();
  const b = candidate("b", server, clock);
  await clock.advance(4_000);
  a.reach.down = true;
  let both = 0;
  let none = 0;
  for (let passed = 0; passed < 30_000; passed += 100) {
    await clock.advance(100);
    if (a.told.leading && b.told.leading) both++;
    if (!a.told.leading && !b.told.leading) none++;
  }
  assert.equal(both, 0);
  assert.ok(none >= 30 && none <= 80, `nobody led for ${none * 100} ms`);
  assert.equal(b.told.leading, true);
  a.reach.down = false;
  b.stop.abort();
  await b.finished;
  await clock.advance(5_000);
  assert.equal(a.told.leads, 2);
  a.stop.abort();
  await a.finished;
});

test("a request that hangs does not hide that the time is up", async () => {
  const server = leaseServer();
  const a = candidate("a", server);
  await a.clock.advance(1_000);
  server.state.hang = true;
  await a.clock.advance(8_900);
  assert.equal(a.told.leading, true);
  await a.clock.advance(200);
  assert.equal(a.told.leading, false);
  server.state.hang = false;
  a.stop.abort();
  await a.finished;
});

test("work that fails ends the election with its error, the lease given up", async () => {
  const server = leaseServer();
  const finished = runElection({
    client: server.client,
    namespace: "kube-system",
    name: "leader",
    identity: "a",
    leaseMs: 15_000,
    renewMs: 10_000,
    retryMs: 2_000,
    signal: new AbortController().signal,
    health: createHealth(),
    log: pino({ level: "silent" }),
    clock: fakeClock(),
    lead: () => Promise.reject(new Error("broken")),
  });
  await assert.rejects(finished, /broken/);
  assert.equal(server.lease()?.holderIdentity, "");
});

test("what a lease says of times is not believed, only how long we have seen it unchanged", () => {
  const at = { namespace: "n", name: "l", leaseMs: 15_000 };
  const made = (identity: string, year: number, resourceVersion: string): LeaseObject => {
    const lease = heldBy(
      { lease: undefined, sinceMs: 0 },
      { ...at, identity, wallTime: new Date(Date.UTC(year, 0)) },
    );
    return { ...lease, metadata: { ...lease.metadata, resourceVersion } };
  };
  const self = { identity: "b", leaseMs: 15_000 };
  const past = observe(undefined, made("a", 1990, "1"), 1_000);
  assert.equal(mayTake(past, self, 15_999), false);
  assert.equal(mayTake(past, self, 16_000), true);
  const renewed = observe(past, made("a", 2090, "2"), 10_000);
  assert.equal(mayTake(renewed, self, 24_999), false);
  assert.equal(mayTake(observe(renewed, made("a", 2090, "2"), 20_000), self, 25_000), true);
  assert.equal(mayTake(renewed, { ...self, identity: "a" }, 10_000), true);
  assert.match(made("a", 1990, "1").spec?.renewTime ?? "", /^1990-01-01T00:00:00\.000000Z$/);
});
