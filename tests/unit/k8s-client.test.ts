// SPDX-License-Identifier: Apache-2.0
// Our client and informers against the lab's API server, over TLS.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pino } from "pino";
import { createKubeClient } from "#k8s/client.ts";
import { isConflict, isNotFound } from "#k8s/errors.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { reflect } from "#k8s/reflect.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { eventually } from "#kit/eventually.ts";
import { startApiServer } from "#lab/apiserver/server.ts";
import { createHealth } from "#lib/health.ts";
import { startServiceSource } from "#services/source.ts";
import { endpointSliceTable, serviceTable } from "#services/table.ts";
import { Database } from "#store/table.ts";

interface ConfigMap extends KubeObject {
  readonly metadata: { readonly namespace: string; readonly name: string; readonly resourceVersion?: string };
  readonly data?: Readonly<Record<string, string>>;
}
const configMaps = { group: "", version: "v1", plural: "configmaps" };
const configMap = (name: string, value: string): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { namespace: "default", name },
  data: { value },
});

async function cluster() {
  const stack = new AsyncDisposableStack();
  const dir = mkdtempSync(join(tmpdir(), "weft-k8s-"));
  stack.defer(() => rmSync(dir, { recursive: true }));
  const server = await startApiServer({
    listen: [{ host: "127.0.0.1", port: 0 }],
    users: [{ name: "admin", token: "t0ken", groups: ["system:masters"] }],
  });
  stack.defer(() => server.close());
  const path = join(dir, "kubeconfig");
  writeFileSync(path, server.kubeconfig(`https://127.0.0.1:${server.addresses[0]!.port}`), { mode: 0o600 });
  const client = stack.use(createKubeClient(await loadCredentials(path)));
  return { client, dispose: () => stack.disposeAsync(), [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test("objects are created, read, replaced, patched in each way, listed in pages and deleted", async () => {
  await using c = await cluster();
  const { client } = c;
  const ref = { namespace: "default", name: "a" };
  const made = await client.create(configMaps, configMap("a", "1"));
  await assert.rejects(client.create(configMaps, configMap("a", "1")), isConflict);
  assert.equal((await client.get<ConfigMap>(configMaps, ref)).data?.value, "1");
  await client.replace(configMaps, { ...made, data: { value: "2" } });
  await assert.rejects(client.replace(configMaps, { ...made, data: { value: "3" } }), isConflict);
  const patched = async (type: "merge" | "json" | "strategic" | "apply", body: unknown) =>
    (await client.patch<ConfigMap>(configMaps, ref, { type, body }, { force: true })).data;
  assert.deepEqual(await patched("merge", { data: { m: "x" } }), { value: "2", m: "x" });
  assert.deepEqual(await patched("json", [{ op: "remove", path: "/data/m" }]), { value: "2" });
  assert.deepEqual(await patched("strategic", { data: { s: "x" } }), { value: "2", s: "x" });
  assert.deepEqual((await patched("apply", configMap("a", "9")))?.value, "9");
  for (const name of ["b", "c"]) await client.create(configMaps, configMap(name, name));
  const names: string[] = [];
  let continueToken: string | undefined;
  do {
    const page = await client.list<ConfigMap>(configMaps, { namespace: "default", limit: 2, continueToken });
    assert.ok(page.items.length <= 2);
    names.push(...page.items.map((object) => object.metadata.name));
    continueToken = page.continueToken;
  } while (continueToken);
  assert.deepEqual(
    names.filter((name) => name.length === 1),
    ["a", "b", "c"],
  );
  await client.delete(configMaps, ref);
  await assert.rejects(client.get(configMaps, ref), isNotFound);
});

test("service-proxy-name says who serves a Service, also when it is set and taken away (KEP-2447)", async () => {
  await using c = await cluster();
  const name = "service.kubernetes.io/service-proxy-name";
  const ref = { namespace: "default", name: "web" };
  const signal = AbortSignal.timeout(20_000);
  await using stack = new AsyncDisposableStack();
  const [plain, other] = ["", "other"].map((proxyName) => {
    const db = new Database();
    const [services, endpointSlices] = [serviceTable(db), endpointSliceTable(db)];
    const common = { client: c.client, db, health: createHealth(), log: pino({ level: "silent" }) };
    stack.use(startServiceSource({ ...common, services, endpointSlices, proxyName }, signal));
    return services;
  });
  const servedBy = (who: string) =>
    eventually(() => {
      const has = (table: typeof plain) => table?.get("default/web") !== undefined;
      assert.equal(`${has(plain) ? "plain" : ""}${has(other) ? "other" : ""}`, who);
    });
  const label = (value: string | null) =>
    c.client.patch(resources.services, ref, {
      type: "merge",
      body: { metadata: { labels: { [name]: value } } },
    });
  const spec = { ports: [{ port: 80 }] };
  await c.client.create(resources.services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: ref,
    spec,
  } as KubeObject);
  await servedBy("plain");
  await label("other");
  await servedBy("other");
  await label("third");
  await servedBy("");
  await label(null);
  await servedBy("plain");
});

test("a reflector follows the server, and a change is in the table within milliseconds", async (t) => {
  await using c = await cluster();
  const db = new Database();
  const table = db.table<{ name: string; value: string }>({ name: "t", key: (row) => row.name, columns: [] });
  await c.client.create(configMaps, configMap("before", "0"));
  await using _reflector = reflect<ConfigMap, { name: string; value: string }>({
    client: c.client,
    db,
    table,
    resource: configMaps,
    namespace: "default",
    fieldSelector: "metadata.name!=kube-root-ca.crt",
    toRow: (object) => ({ name: object.metadata.name, value: object.data?.value ?? "" }),
    signal: AbortSignal.timeout(20_000),
    health: createHealth(),
    log: pino({ level: "silent" }),
  });
  await table.ready;
  assert.deepEqual([...table.all()], [{ name: "before", value: "0" }]);
  const times: number[] = [];
  for (let round = 0; round < 20; round++) {
    const startMs = performance.now();
    const seen = new Promise<void>((resolve) => {
      const stop = table.onCommit((keys) => {
        if (!keys.has(`x${round}`)) return;
        stop();
        resolve();
      });
    });
    await Promise.all([seen, c.client.create(configMaps, configMap(`x${round}`, "1"))]);
    times.push(performance.now() - startMs);
  }
  times.sort((a, b) => a - b);
  t.diagnostic(`create to row: median ${times[10]!.toFixed(1)} ms`);
  const gone = new Promise<void>((resolve) => table.onCommit((keys) => keys.has("before") && resolve()));
  await Promise.all([gone, c.client.delete(configMaps, { namespace: "default", name: "before" })]);
  assert.equal(table.size, 20);
});

test("Services and EndpointSlices come through their selectors", async () => {
  await using c = await cluster();
  const db = new Database();
  const services = serviceTable(db);
  const endpointSlices = endpointSliceTable(db);
  const health = createHealth();
  await using _source = startServiceSource(
    { client: c.client, db, services, endpointSlices, health, log: pino({ level: "silent" }) },
    AbortSignal.timeout(20_000),
  );
  await Promise.all([services.ready, endpointSlices.ready]);
  const arrived = new Promise<void>((resolve) =>
    services.onCommit((keys) => keys.has("default/web") && resolve()),
  );
  await c.client.create(resources.services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: "default", name: "web" },
    spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
  } as KubeObject);
  await arrived;
  const row = services.get("default/web");
  assert.match(row?.clusterIps[0] ?? "", /^10\.96\./);
  assert.deepEqual(row?.ports, [{ name: "", proto: 6, port: 80, nodePort: 0 }]);
  assert.equal(health.level(), "ok");
});
