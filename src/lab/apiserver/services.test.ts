// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestServer, type TestServer } from "./fixture.ts";
import { type JsonObject, listAt, objectAt, stringsAt } from "./object.ts";

const path = "/api/v1/namespaces/default/services";
let api: TestServer;
before(async () => {
  api = await startTestServer();
});
after(() => api[Symbol.asyncDispose]());

const service = (name: string, spec: JsonObject): JsonObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name },
  spec: { ports: [{ port: 80 }], ...spec },
});
const create = (name: string, spec: JsonObject) => api.call("POST", path, service(name, spec));
const merge = (name: string, spec: JsonObject) =>
  api.call("PATCH", `${path}/${name}`, { spec }, { "content-type": "application/merge-patch+json" });
const message = (answer: { body: JsonObject }) => String(answer.body["message"]);

test("defaults and a cluster IP", async () => {
  const { body } = await create("plain", { selector: { app: "x" } });
  const spec = objectAt(body, "spec");
  assert.match(String(spec["clusterIP"]), /^10\.96\./);
  assert.deepEqual(spec["clusterIPs"], [spec["clusterIP"]]);
  assert.deepEqual(
    [spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]],
    ["ClusterIP", "None", "Cluster"],
  );
  assert.deepEqual([spec["ipFamilies"], spec["ipFamilyPolicy"]], [["IPv4"], "SingleStack"]);
  assert.deepEqual(listAt(spec, "ports"), [{ port: 80, protocol: "TCP", targetPort: 80 }]);
});

test("families: both, one by name, headless, external", async () => {
  const dual = await create("dual", { ipFamilyPolicy: "PreferDualStack" });
  assert.deepEqual(stringsAt(dual.body, "spec", "ipFamilies"), ["IPv4", "IPv6"]);
  assert.match(stringsAt(dual.body, "spec", "clusterIPs")[1]!, /^fd00:96::/);
  const six = await create("six", { ipFamilies: ["IPv6"] });
  assert.match(String(objectAt(six.body, "spec")["clusterIP"]), /^fd00:96::/);
  const headless = await create("headless", { clusterIP: "None" });
  assert.deepEqual(stringsAt(headless.body, "spec", "clusterIPs"), ["None"]);
  const external = await create("external", { type: "ExternalName", externalName: "example.com" });
  assert.equal(objectAt(external.body, "spec")["clusterIP"], undefined);
});

test("a chosen address: in range, free, and fixed", async () => {
  const chosen = await create("chosen", { clusterIP: "10.96.0.10" });
  assert.equal(objectAt(chosen.body, "spec")["clusterIP"], "10.96.0.10");
  assert.match(
    message(await create("again", { clusterIP: "10.96.0.10" })),
    /failed to allocate IP 10\.96\.0\.10: provided IP is already allocated/,
  );
  assert.match(
    message(await create("out", { clusterIP: "10.97.0.1" })),
    /the provided IP \(10\.97\.0\.1\) is not in the valid range/,
  );
  assert.match(
    message(await merge("chosen", { clusterIP: "10.96.0.11" })),
    /spec\.clusterIPs\[0\]: Invalid value: .*may not change once set/,
  );
  assert.equal(
    objectAt((await merge("chosen", { clusterIP: null, clusterIPs: null })).body, "spec")["clusterIP"],
    "10.96.0.10",
  );
  await api.call("DELETE", `${path}/chosen`);
  assert.equal((await create("again", { clusterIP: "10.96.0.10" })).code, 201);
});

test("node ports: given, kept, refused twice, freed", async () => {
  const first = await create("np", {
    type: "NodePort",
    ports: [
      { name: "a", port: 80 },
      { name: "b", port: 53, protocol: "UDP" },
    ],
  });
  const ports = listAt(first.body, "spec", "ports").map((port) => port["nodePort"]);
  assert.ok(ports.every((port) => typeof port === "number" && port >= 30000 && port <= 32767));
  const [taken] = ports;
  assert.match(
    message(await create("np2", { type: "NodePort", ports: [{ port: 80, nodePort: taken }] })),
    /provided port is already allocated/,
  );
  assert.equal(
    (await create("np3", { type: "NodePort", ports: [{ port: 80, protocol: "UDP", nodePort: taken }] })).code,
    201,
  );
  assert.match(
    message(await create("np4", { type: "NodePort", ports: [{ port: 80, nodePort: 80 }] })),
    /The range of valid ports is 30000-32767/,
  );
  const updated = await merge("np", { ports: [{ name: "a", port: 80 }] });
  assert.equal(listAt(updated.body, "spec", "ports")[0]?.["nodePort"], taken);
  const plain = await merge("np", { type: "ClusterIP" });
  assert.equal(listAt(plain.body, "spec", "ports")[0]?.["nodePort"], undefined);
  assert.equal((await create("np2", { type: "NodePort", ports: [{ port: 80, nodePort: taken }] })).code, 201);
});

test("a refused or dry write takes nothing", async () => {
  const dry = await api.call(
    "POST",
    `${path}?dryRun=All`,
    service("dry", { type: "NodePort", ports: [{ port: 80, nodePort: 32000 }] }),
  );
  assert.equal(dry.code, 201);
  assert.equal((await create("wet", { type: "NodePort", ports: [{ port: 80, nodePort: 32000 }] })).code, 201);
});

test("ten thousand services are made and listed without quadratic cost", async () => {
  const { store, catalog } = api.server;
  const { createObject } = await import("./write.ts");
  const resource = catalog.find("", "v1", "services")!;
  const start = performance.now();
  for (let i = 0; i < 10_000; i++)
    createObject(store, { resource, namespace: "default" }, service(`many-${i}`, {}) as never);
  const list = await api.call("GET", "/api/v1/services");
  assert.ok(listAt(list.body, "items").length >= 10_000);
  const tookMs = performance.now() - start;
  assert.ok(tookMs < 10_000, `${tookMs} ms`);
});
