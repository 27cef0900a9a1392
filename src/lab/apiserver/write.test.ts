// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { configMap, deployment, startTestServer, type TestServer } from "./fixture.ts";
import { type JsonObject, listAt, objectAt, stringAt } from "./object.ts";

const root = "/api/v1/namespaces/default";
const maps = `${root}/configmaps`;
const deployments = "/apis/apps/v1/namespaces/default/deployments";
let api: TestServer;
before(async () => {
  api = await startTestServer();
});
after(() => api[Symbol.asyncDispose]());

const message = (answer: { body: JsonObject }) => String(answer.body["message"]);
const pod = (name: string, more: JsonObject = {}): JsonObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, ...more },
  spec: { nodeName: "n1", containers: [{ name: "c", image: "x" }] },
});

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > end) throw new Error("it did not come true in 5 s");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("a stale update is refused, one without version is not", async () => {
  const made = await api.call("POST", maps, configMap("stale", { a: "1" }));
  assert.equal(made.code, 201);
  const first = await api.call("PUT", `${maps}/stale`, { ...made.body, data: { a: "2" } });
  assert.equal(first.code, 200);
  const second = await api.call("PUT", `${maps}/stale`, { ...made.body, data: { a: "3" } });
  assert.equal(second.code, 409);
  assert.equal(second.body["reason"], "Conflict");
  assert.match(
    message(second),
    /Operation cannot be fulfilled on configmaps "stale": the object has been modified/,
  );
  const unversioned = await api.call("PUT", `${maps}/stale`, configMap("stale", { a: "4" }));
  assert.equal(unversioned.code, 200);
  const same = await api.call("PUT", `${maps}/stale`, configMap("stale", { a: "4" }));
  assert.equal(
    stringAt(same.body, "metadata", "resourceVersion"),
    stringAt(unversioned.body, "metadata", "resourceVersion"),
  );
});

test("errors are Status objects in the real server's words", async () => {
  const missing = await api.call("GET", `${deployments}/nope`);
  assert.equal(missing.code, 404);
  assert.equal(message(missing), 'deployments.apps "nope" not found');
  await api.call("POST", maps, configMap("twice"));
  const twice = await api.call("POST", maps, configMap("twice"));
  assert.deepEqual(
    [twice.code, twice.body["reason"], message(twice)],
    [409, "AlreadyExists", 'configmaps "twice" already exists'],
  );
  const nowhere = await api.call("POST", "/api/v1/namespaces/none/configmaps", configMap("a"));
  assert.equal(message(nowhere), 'namespaces "none" not found');
  const named = await api.call("POST", maps, configMap("Bad_Name"));
  assert.equal(named.code, 422);
  assert.match(
    message(named),
    /^ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain/,
  );
  const anonymous = await api.call("GET", maps, undefined, { authorization: "Bearer wrong" });
  assert.equal(anonymous.code, 401);
  const path = await api.call("GET", "/apis/nothing/v1/things");
  assert.equal(path.code, 404);
  const typed = await api.call("POST", deployments, { ...deployment("typed"), spec: { replicas: "many" } });
  assert.equal(typed.code, 400);
  assert.match(
    message(typed),
    /cannot unmarshal string into Go struct field DeploymentSpec\.spec\.replicas of type int32/,
  );
});

test("strict field validation names unknown and duplicate fields; otherwise they are warnings", async () => {
  const body = { ...deployment("strict"), spec: { ...objectAt(deployment("strict"), "spec"), replica: 2 } };
  const strict = await api.call("POST", `${deployments}?fieldValidation=Strict`, body);
  assert.equal(strict.code, 400);
  assert.match(message(strict), /strict decoding error: unknown field "spec\.replica"$/);
  const duplicate =
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"dup"},"data":{"a":"1","a":"2"}}';
  const twice = await api.call("POST", `${maps}?fieldValidation=Strict`, duplicate);
  assert.match(message(twice), /strict decoding error: duplicate field "data\.a"$/);
  const warned = await api.call("POST", `${deployments}?fieldValidation=Warn`, body);
  assert.equal(warned.code, 201);
  assert.match(String(warned.headers["warning"]), /unknown field \\"spec\.replica\\"/);
  assert.equal(objectAt(warned.body, "spec")["replica"], undefined);
});

test("dryRun does everything but store", async () => {
  const dry = await api.call("POST", `${maps}?dryRun=All`, configMap("dry"));
  assert.equal(dry.code, 201);
  assert.ok(stringAt(dry.body, "metadata", "uid"));
  assert.equal((await api.call("GET", `${maps}/dry`)).code, 404);
});

test("status and spec are written apart; generation counts the spec", async () => {
  await api.call("POST", deployments, deployment("apart"));
  const status = { ...deployment("apart"), spec: { replicas: 9 }, status: { readyReplicas: 3 } };
  const written = await api.call("PUT", `${deployments}/apart/status`, status);
  assert.equal(objectAt(written.body, "status")["readyReplicas"], 3);
  assert.equal(objectAt(written.body, "spec")["replicas"], 1);
  assert.equal(objectAt(written.body, "metadata")["generation"], 1);
  const patch = { spec: { replicas: 2 }, status: { readyReplicas: 7 } };
  const patched = await api.call("PATCH", `${deployments}/apart`, patch, {
    "content-type": "application/merge-patch+json",
  });
  assert.equal(objectAt(patched.body, "status")["readyReplicas"], 3);
  assert.equal(objectAt(patched.body, "metadata")["generation"], 2);
});

test("the scale subresource", async () => {
  await api.call("POST", deployments, deployment("scaled"));
  const scale = await api.call("GET", `${deployments}/scaled/scale`);
  assert.deepEqual([scale.body["kind"], objectAt(scale.body, "status")["selector"]], ["Scale", "app=scaled"]);
  const patched = await api.call(
    "PATCH",
    `${deployments}/scaled/scale`,
    { spec: { replicas: 0 } },
    { "content-type": "application/merge-patch+json" },
  );
  assert.equal(objectAt(patched.body, "spec")["replicas"], 0);
  assert.equal(objectAt((await api.call("GET", `${deployments}/scaled`)).body, "spec")["replicas"], 0);
});

test("generateName", async () => {
  const made = await api.call("POST", maps, { ...configMap(""), metadata: { generateName: "gen-" } });
  assert.match(stringAt(made.body, "metadata", "name"), /^gen-[a-z0-9]{5}$/);
});

test("a pod on a node is marked first and removed with grace 0", async () => {
  await api.call("POST", `${root}/pods`, pod("graceful"));
  const marked = await api.call("DELETE", `${root}/pods/graceful`);
  assert.equal(objectAt(marked.body, "metadata")["deletionGracePeriodSeconds"], 30);
  assert.ok(stringAt(marked.body, "metadata", "deletionTimestamp"));
  const wrong = await api.call("DELETE", `${root}/pods/graceful`, {
    gracePeriodSeconds: 0,
    preconditions: { uid: "other" },
  });
  assert.equal(wrong.code, 409);
  const preconditions = { uid: stringAt(marked.body, "metadata", "uid") };
  await api.call("DELETE", `${root}/pods/graceful`, { gracePeriodSeconds: 0, preconditions });
  assert.equal((await api.call("GET", `${root}/pods/graceful`)).code, 404);
});

test("finalizers hold an object until they are gone", async () => {
  await api.call("POST", maps, configMap("held", {}, { finalizers: ["weft.io/hold"] }));
  await api.call("DELETE", `${maps}/held`);
  assert.ok(stringAt((await api.call("GET", `${maps}/held`)).body, "metadata", "deletionTimestamp"));
  await api.call(
    "PATCH",
    `${maps}/held`,
    { metadata: { finalizers: null } },
    { "content-type": "application/merge-patch+json" },
  );
  assert.equal((await api.call("GET", `${maps}/held`)).code, 404);
});

test("what an object owns goes with it, is orphaned, or goes first", async () => {
  const { store } = api.server;
  const child = (name: string, owner: JsonObject) => {
    const { name: ownerName, uid } = objectAt(owner, "metadata");
    const reference = { apiVersion: "v1", kind: "ConfigMap", name: ownerName, uid };
    return api.call("POST", maps, configMap(name, {}, { ownerReferences: [reference] }));
  };
  const owner = async (name: string) => (await api.call("POST", maps, configMap(name))).body;
  await child("bg-child", await owner("bg"));
  await api.call("DELETE", `${maps}/bg`);
  await until(() => store.get("/configmaps", "default/bg-child") === undefined);
  await child("orphan-child", await owner("orphan"));
  await api.call("DELETE", `${maps}/orphan`, { propagationPolicy: "Orphan" });
  await until(() => store.get("/configmaps", "default/orphan") === undefined);
  assert.equal(store.get("/configmaps", "default/orphan-child")?.metadata.ownerReferences, undefined);
  await child("fg-child", await owner("fg"));
  await api.call("DELETE", `${maps}/fg`, { propagationPolicy: "Foreground" });
  await until(() => store.get("/configmaps", "default/fg") === undefined);
  assert.equal(store.get("/configmaps", "default/fg-child"), undefined);
});

test("a namespace goes when its content is gone, and takes nothing new meanwhile", async () => {
  const { store } = api.server;
  await api.call("POST", "/api/v1/namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "leaving" },
  });
  await api.call("POST", "/api/v1/namespaces/leaving/pods", pod("last"));
  const marked = await api.call("DELETE", "/api/v1/namespaces/leaving");
  assert.equal(objectAt(marked.body, "status")["phase"], "Terminating");
  const refused = await api.call("POST", "/api/v1/namespaces/leaving/configmaps", configMap("late"));
  assert.equal(refused.code, 403);
  await until(() => store.get("/pods", "leaving/last")?.metadata.deletionTimestamp !== undefined);
  assert.ok(store.get("/namespaces", "/leaving"));
  await api.call("DELETE", "/api/v1/namespaces/leaving/pods/last", { gracePeriodSeconds: 0 });
  await until(() => store.get("/namespaces", "/leaving") === undefined);
});

test("deletecollection takes what is selected", async () => {
  for (const name of ["c1", "c2"])
    await api.call("POST", maps, configMap(name, {}, { labels: { collect: name } }));
  const answer = await api.call("DELETE", `${maps}?labelSelector=collect%3Dc1`);
  assert.equal(answer.code, 200);
  assert.equal((await api.call("GET", `${maps}/c1`)).code, 404);
  assert.equal((await api.call("GET", `${maps}/c2`)).code, 200);
});

test("a binding gives a pod its node", async () => {
  const unbound = { ...pod("bindme"), spec: { containers: [{ name: "c", image: "x" }] } };
  await api.call("POST", `${root}/pods`, unbound);
  const binding = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name: "bindme" },
    target: { kind: "Node", name: "n2" },
  };
  assert.equal((await api.call("POST", `${root}/pods/bindme/binding`, binding)).code, 201);
  const bound = await api.call("GET", `${root}/pods/bindme`);
  assert.equal(objectAt(bound.body, "spec")["nodeName"], "n2");
  assert.equal(listAt(bound.body, "status", "conditions")[0]?.["type"], "PodScheduled");
  assert.equal((await api.call("POST", `${root}/pods/bindme/binding`, binding)).code, 409);
});

test("an Event is one object in both of its groups", async () => {
  const newer = "/apis/events.k8s.io/v1/namespaces/default/events";
  const regarding = { apiVersion: "v1", kind: "Pod", name: "web", namespace: "default" };
  const event = {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { name: "web.1" },
    eventTime: "2026-01-01T00:00:00.000000Z",
    reportingController: "weft.io/agent",
    reportingInstance: "n1",
    action: "Try",
    reason: "Tried",
    note: "in vain",
    type: "Warning",
    regarding,
  };
  const made = await api.call("POST", newer, event);
  assert.equal(made.code, 201);
  assert.equal(made.body["note"], "in vain");
  const described = await api.call("GET", `${root}/events?fieldSelector=involvedObject.name%3Dweb`);
  const [core] = listAt(described.body, "items") as JsonObject[];
  assert.deepEqual(
    [core?.["message"], core?.["involvedObject"], core?.["reportingComponent"]],
    ["in vain", regarding, "weft.io/agent"],
  );
  const again = await api.call("GET", `${newer}?fieldSelector=regarding.name%3Dweb`);
  assert.deepEqual((listAt(again.body, "items") as JsonObject[]).length, 1);
  const patch = { series: { count: 2, lastObservedTime: "2026-01-01T00:00:01.000000Z" } };
  const series = await api.call("PATCH", `${newer}/web.1`, patch, {
    "content-type": "application/merge-patch+json",
  });
  assert.equal(series.code, 200);
  assert.deepEqual([series.body["note"], objectAt(series.body, "series")["count"]], ["in vain", 2]);
  const seen = await api.call("GET", `${root}/events/web.1`);
  assert.deepEqual([seen.body["message"], seen.body["note"]], ["in vain", undefined]);
});
