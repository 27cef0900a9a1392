// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { pino } from "pino";
import { fakeClock, idle } from "#kit/clock.ts";
import { createHealth } from "#lib/health.ts";
import { follows } from "#services/follows.ts";
import { startHealthChecks } from "#services/health-checks.ts";
import { startNodeHealth } from "#services/node-health.ts";
import { type HealthCheck, healthCheckTable } from "#services/table.ts";
import { Database } from "#store/table.ts";

/** A port nobody has, and who holds it until told. */
async function holdPort() {
  const server = createServer().listen(0);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { port, free: () => new Promise((resolve) => server.close(resolve)) };
}

async function ask(port: number, path = "/") {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    const weight = response.headers.get("x-load-balancing-endpoint-weight");
    const text = await response.text();
    return { status: response.status, weight, text };
  } catch {
    return undefined;
  }
}

test("a healthCheckNodePort says whether the node has pods for the service; it moves and goes with the service", async () => {
  const db = new Database();
  const healthChecks = healthCheckTable(db);
  const source = healthChecks.source("t");
  const stop = new AbortController();
  let healthy = true;
  const [first, second] = [await holdPort(), await holdPort()];
  await Promise.all([first.free(), second.free()]);
  const row = (port: number, localEndpoints: number): HealthCheck => ({
    namespace: "shop",
    name: "web",
    port,
    localEndpoints,
  });
  const put = async (check: HealthCheck) => {
    db.write((tx) => tx.put(healthChecks, check));
    await idle();
  };
  {
    const common = { health: createHealth(), log: pino({ level: "silent" }) };
    await using _ = startHealthChecks({ ...common, healthChecks, healthy: () => healthy }, stop.signal);
    source.synced();
    await put(row(first.port, 2));
    const good = await ask(first.port, "/healthz");
    assert.deepEqual([good?.status, good?.weight], [200, "2"]);
    assert.deepEqual(JSON.parse(good!.text), {
      service: { namespace: "shop", name: "web" },
      localEndpoints: 2,
      serviceProxyHealthy: true,
    });
    healthy = false;
    assert.equal((await ask(first.port))?.status, 503);
    healthy = true;
    await put(row(first.port, 0));
    assert.deepEqual([(await ask(first.port))?.status, (await ask(first.port))?.weight], [503, "0"]);
    await put(row(second.port, 1));
    assert.equal(await ask(first.port), undefined);
    assert.equal((await ask(second.port))?.status, 200);
    db.write((tx) => tx.delete(healthChecks, "shop/web"));
    await idle();
    assert.equal(await ask(second.port), undefined);
    await put(row(second.port, 1));
  }
  assert.equal(await ask(second.port), undefined, "nobody listens after the end");
});

test("a healthCheckNodePort that is taken is said", async () => {
  const db = new Database();
  const healthChecks = healthCheckTable(db);
  healthChecks.source("t").synced();
  const stop = new AbortController();
  const health = createHealth();
  const taken = await holdPort();
  const deps = { healthChecks, healthy: () => true, health, log: pino({ level: "silent" }) };
  await using _ = startHealthChecks(deps, stop.signal);
  db.write((tx) => tx.put(healthChecks, { namespace: "a", name: "b", port: taken.port, localEndpoints: 1 }));
  await idle();
  await new Promise(setImmediate);
  const said = health.rows().find(({ name }) => name === "health-check-ports");
  assert.match(`${said?.level} ${said?.message}`, /^degraded a\/b: .*EADDRINUSE/);
  await taken.free();
});

test("the node's health: 503 while the maps do not follow, and on /healthz when the node goes", async () => {
  const { port, free } = await holdPort();
  await free();
  let [healthy, eligible] = [true, true];
  const deps = { listen: `127.0.0.1:${port}`, statusListen: "" };
  await using _ = await startNodeHealth({ ...deps, healthy: () => healthy, eligible: () => eligible });
  const both = async () => [(await ask(port, "/healthz"))?.status, (await ask(port, "/livez"))?.status];
  assert.deepEqual(await both(), [200, 200]);
  assert.match((await ask(port, "/healthz"))!.text, /"lastUpdated": "20.*"nodeEligible": true/s);
  eligible = false;
  assert.deepEqual(await both(), [503, 200]);
  [healthy, eligible] = [false, true];
  assert.deepEqual(await both(), [503, 503]);
  assert.equal((await ask(port, "/"))?.status, 404);
  await assert.rejects(startNodeHealth({ ...deps, healthy: () => true, eligible: () => true }), {
    code: "E_LISTEN",
  });
});

test("a change that waits for more than a minute makes the proxy ill, until it is written", async () => {
  const db = new Database();
  const table = healthCheckTable(db);
  const clock = fakeClock();
  let written = () => {};
  const waitUntil = () =>
    new Promise<void>((resolve) => {
      written = resolve;
    });
  const stop = new AbortController();
  const healthy = follows(table, { waitUntil }, { signal: stop.signal, clock });
  written();
  await idle();
  await clock.advance(120_000);
  assert.equal(healthy(), true);
  db.write((tx) => tx.put(table, { namespace: "a", name: "b", port: 1, localEndpoints: 1 }));
  await clock.advance(59_000);
  assert.equal(healthy(), true);
  await clock.advance(2_000);
  assert.equal(healthy(), false);
  written();
  await idle();
  assert.equal(healthy(), true);
  stop.abort();
});
