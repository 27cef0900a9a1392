// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { deployment, startTestServer, type TestServer } from "../fixture.ts";
import { type JsonObject, listAt, objectAt, stringAt, valueAt } from "../object.ts";

const root = "/apis/apps/v1/namespaces/default/deployments";
let api: TestServer;
before(async () => {
  api = await startTestServer();
});
after(() => api[Symbol.asyncDispose]());

const apply = (name: string, manager: string, spec: JsonObject, force = false, metadata: JsonObject = {}) =>
  api.call(
    "PATCH",
    `${root}/${name}?fieldManager=${manager}&force=${force}`,
    { apiVersion: "apps/v1", kind: "Deployment", metadata: { name, ...metadata }, spec },
    { "content-type": "application/apply-patch+yaml" },
  );

const full = (name: string): JsonObject => objectAt(deployment(name), "spec");
const managers = (body: JsonObject) =>
  listAt(body, "metadata", "managedFields").map(
    (entry) => `${stringAt(entry, "manager")} ${stringAt(entry, "operation")}`,
  );

test("apply creates, notes its fields, and is idempotent", async () => {
  const made = await apply("first", "a", { ...full("first"), replicas: 2 });
  assert.equal(made.code, 201);
  assert.deepEqual(managers(made.body), ["a Apply"]);
  const fields = objectAt(listAt(made.body, "metadata", "managedFields")[0], "fieldsV1");
  assert.deepEqual(valueAt(fields, "f:spec", "f:replicas"), {});
  assert.ok(valueAt(fields, "f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"web"}', "f:image"));
  const again = await apply("first", "a", { ...full("first"), replicas: 2 });
  assert.equal(again.code, 200);
  assert.equal(
    stringAt(again.body, "metadata", "resourceVersion"),
    stringAt(made.body, "metadata", "resourceVersion"),
  );
});

test("another manager's value is a conflict unless forced; an equal value is shared", async () => {
  await apply("shared", "a", { ...full("shared"), replicas: 2 });
  const equal = await apply("shared", "b", { replicas: 2 });
  assert.equal(equal.code, 200);
  assert.deepEqual(managers(equal.body), ["a Apply", "b Apply"]);
  const conflict = await apply("shared", "c", { replicas: 5 });
  assert.equal(conflict.code, 409);
  assert.equal(conflict.body["reason"], "Conflict");
  assert.match(
    String(conflict.body["message"]),
    /Apply failed with 2 conflicts: .*"a":\n- \.spec\.replicas/s,
  );
  assert.deepEqual(
    listAt(conflict.body, "details", "causes").map((cause) => [cause["reason"], cause["field"]]),
    [
      ["FieldManagerConflict", ".spec.replicas"],
      ["FieldManagerConflict", ".spec.replicas"],
    ],
  );
  const forced = await apply("shared", "c", { replicas: 5 }, true);
  assert.equal(valueAt(forced.body, "spec", "replicas"), 5);
  assert.equal((await apply("shared", "a", { ...full("shared"), replicas: 2 })).code, 409);
});

test("a field no longer applied goes, unless somebody else owns it", async () => {
  const spec = full("drop");
  await apply("drop", "a", { ...spec, minReadySeconds: 7 }, false, { labels: { x: "1", y: "1" } });
  await apply("drop", "b", { minReadySeconds: 7 });
  const after = await apply("drop", "a", spec, false, { labels: { x: "1" } });
  assert.deepEqual(objectAt(after.body, "metadata", "labels"), { x: "1" });
  assert.equal(valueAt(after.body, "spec", "minReadySeconds"), 7);
  const last = await apply("drop", "b", {});
  assert.equal(valueAt(last.body, "spec", "minReadySeconds"), undefined);
});

test("elements of keyed lists have owners of their own", async () => {
  await apply("lists", "a", full("lists"));
  const env = [{ name: "B", value: "b" }];
  const added = await apply("lists", "b", { template: { spec: { containers: [{ name: "web", env }] } } });
  assert.equal(added.code, 200, JSON.stringify(added.body));
  const [container] = listAt(added.body, "spec", "template", "spec", "containers");
  assert.equal(stringAt(container, "image"), "shop/web:1");
  assert.deepEqual(listAt(container, "env"), env);
  const again = await apply("lists", "a", full("lists"));
  assert.deepEqual(listAt(listAt(again.body, "spec", "template", "spec", "containers")[0], "env"), env);
  const removed = await apply("lists", "b", { template: { spec: { containers: [{ name: "web" }] } } });
  assert.deepEqual(listAt(listAt(removed.body, "spec", "template", "spec", "containers")[0], "env"), []);
});

test("an update takes what it changes, and apply then conflicts with it", async () => {
  await apply("mixed", "a", { ...full("mixed"), replicas: 2 });
  await api.call(
    "PATCH",
    `${root}/mixed?fieldManager=hpa`,
    { spec: { replicas: 4 } },
    { "content-type": "application/merge-patch+json" },
  );
  const conflict = await apply("mixed", "a", { ...full("mixed"), replicas: 2 });
  assert.equal(conflict.code, 409);
  assert.match(String(conflict.body["message"]), /conflict with "hpa" using apps\/v1: \.spec\.replicas$/);
  const yielded = await apply("mixed", "a", full("mixed"));
  assert.equal(valueAt(yielded.body, "spec", "replicas"), 4);
});

test("status is applied apart", async () => {
  await apply("stat", "a", full("stat"));
  const body = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "stat" },
    status: { readyReplicas: 1 },
  };
  const answer = await api.call("PATCH", `${root}/stat/status?fieldManager=s`, body, {
    "content-type": "application/apply-patch+yaml",
  });
  assert.equal(valueAt(answer.body, "status", "readyReplicas"), 1);
  assert.equal(stringAt(listAt(answer.body, "metadata", "managedFields")[1], "subresource"), "status");
});

test("apply needs a manager", async () => {
  const answer = await api.call("PATCH", `${root}/x`, deployment("x"), {
    "content-type": "application/apply-patch+yaml",
  });
  assert.equal(answer.code, 422);
  assert.match(String(answer.body["message"]), /fieldManager: Required value/);
});

test("what the server adds by itself is no change when the same is applied again", async () => {
  const path = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/defaulted";
  const again = async (manager: string) => {
    const spec = { podSelector: {}, ingress: [{ ports: [{ port: 80 }] }] };
    const object = {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "defaulted" },
      spec,
    };
    const type = { "content-type": "application/apply-patch+yaml" };
    const { body } = await api.call("PATCH", `${path}?fieldManager=${manager}`, object, type);
    return stringAt(body, "metadata", "resourceVersion");
  };
  await again("a");
  // As if it had been long ago: managers have the time of their last write.
  const { body } = await api.call("GET", path);
  for (const entry of listAt(body, "metadata", "managedFields")) entry["time"] = "2020-01-01T00:00:00Z";
  objectAt(body, "metadata")["labels"] = { aged: "yes" };
  const aged = await api.call("PUT", path, body);
  const first = stringAt(aged.body, "metadata", "resourceVersion");
  assert.equal(await again("a"), first);
  assert.notEqual(await again("b"), first, "another manager's word is news");
});
