// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestServer, type TestServer } from "../fixture.ts";
import { type JsonObject, listAt, objectAt, stringAt, valueAt } from "../object.ts";
import { compilePath } from "./jsonpath.ts";

let api: TestServer;
before(async () => {
  api = await startTestServer();
  const made = await api.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition);
  assert.equal(made.code, 201, JSON.stringify(made.body));
  const established = listAt(made.body, "status", "conditions").find(
    (condition) => condition["type"] === "Established",
  );
  assert.equal(established?.["status"], "True");
});
after(() => api[Symbol.asyncDispose]());

const definition: JsonObject = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "gadgets.test.io" },
  spec: {
    group: "test.io",
    scope: "Namespaced",
    names: { plural: "gadgets", kind: "Gadget", shortNames: ["gd"] },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        subresources: {
          status: {},
          scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
        },
        additionalPrinterColumns: [
          { name: "Size", type: "integer", jsonPath: ".spec.size" },
          {
            name: "Ready",
            type: "string",
            jsonPath: ".status.conditions[?(@.type=='Ready')].status",
            priority: 1,
          },
        ],
        schema: {
          openAPIV3Schema: {
            type: "object",
            required: ["spec"],
            properties: {
              spec: {
                type: "object",
                required: ["size"],
                properties: {
                  size: { type: "integer", minimum: 1, maximum: 10 },
                  replicas: { type: "integer", default: 1 },
                  color: { type: "string", enum: ["red", "blue"] },
                  port: {
                    "x-kubernetes-int-or-string": true,
                    anyOf: [{ type: "integer" }, { type: "string" }],
                  },
                  free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
                  one: {
                    type: "object",
                    properties: { a: { type: "string" }, b: { type: "string" } },
                    oneOf: [{ required: ["a"] }, { required: ["b"] }],
                  },
                  parts: {
                    type: "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    items: {
                      type: "object",
                      properties: { name: { type: "string" }, n: { type: "integer" } },
                    },
                  },
                },
              },
              status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
            },
          },
        },
      },
    ],
  },
};

const path = "/apis/test.io/v1/namespaces/default/gadgets";
const gadget = (name: string, spec: JsonObject): JsonObject => ({
  apiVersion: "test.io/v1",
  kind: "Gadget",
  metadata: { name },
  spec,
});

test("a definition is served at once, in discovery too", async () => {
  const list = await api.call("GET", "/apis/test.io/v1");
  assert.deepEqual(
    listAt(list.body, "resources").map((entry) => entry["name"]),
    ["gadgets", "gadgets/status", "gadgets/scale"],
  );
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  const all = await api.call("GET", "/apis", undefined, { accept });
  const group = listAt(all.body, "items").find((item) => stringAt(item, "metadata", "name") === "test.io");
  assert.deepEqual(listAt(listAt(group, "versions")[0], "resources")[0]?.["shortNames"], ["gd"]);
});

test("objects are checked, pruned and filled in by the schema", async () => {
  const made = await api.call(
    "POST",
    path,
    gadget("ok", { size: 3, extra: 1, free: { x: 1 }, port: "http", one: { a: "x" } }),
  );
  assert.equal(made.code, 201, JSON.stringify(made.body));
  assert.deepEqual(made.body["spec"], {
    size: 3,
    free: { x: 1 },
    port: "http",
    one: { a: "x" },
    replicas: 1,
  });
  const strict = await api.call(
    "POST",
    `${path}?fieldValidation=Strict`,
    gadget("no", { size: 3, extra: 1 }),
  );
  assert.match(String(strict.body["message"]), /unknown field "spec\.extra"/);
  const bad = await api.call(
    "POST",
    path,
    gadget("bad", { size: 11, color: "green", port: 1.5, one: { a: "x", b: "y" } }),
  );
  assert.equal(bad.code, 422);
  const causes = listAt(bad.body, "details", "causes").map((cause) => [cause["field"], cause["reason"]]);
  assert.deepEqual(causes, [
    ["spec.size", "FieldValueInvalid"],
    ["spec.color", "FieldValueNotSupported"],
    ["spec.port", "FieldValueTypeInvalid"],
    ["spec.one", "FieldValueInvalid"],
  ]);
  const missing = await api.call("POST", path, gadget("missing", {}));
  assert.equal(missing.body["message"], 'Gadget.test.io "missing" is invalid: spec.size: Required value');
});

test("status, scale, apply and columns of a custom kind", async () => {
  const apply = (manager: string, spec: JsonObject) =>
    api.call("PATCH", `${path}/parts?fieldManager=${manager}`, gadget("parts", spec), {
      "content-type": "application/apply-patch+yaml",
    });
  await apply("a", { size: 1, parts: [{ name: "x", n: 1 }] });
  const both = await apply("b", { parts: [{ name: "y", n: 2 }], size: 1 });
  assert.deepEqual(
    listAt(both.body, "spec", "parts").map((part) => part["name"]),
    ["x", "y"],
  );
  const merge = { "content-type": "application/merge-patch+json" };
  await api.call(
    "PATCH",
    `${path}/parts/status`,
    { status: { conditions: [{ type: "Ready", status: "Yes" }] } },
    merge,
  );
  const scaled = await api.call("PATCH", `${path}/parts/scale`, { spec: { replicas: 4 } }, merge);
  assert.equal(valueAt(scaled.body, "spec", "replicas"), 4);
  const strategic = await api.call(
    "PATCH",
    `${path}/parts`,
    {},
    { "content-type": "application/strategic-merge-patch+json" },
  );
  assert.equal(strategic.code, 415);
  const table = await api.call("GET", `${path}/parts`, undefined, {
    accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
  });
  assert.deepEqual(listAt(table.body, "rows")[0]?.["cells"], ["parts", 1, "Yes"]);
});

test("a definition that goes takes its objects and its paths along", async () => {
  const watch = await api.watch(`${path}?watch=true`);
  assert.equal((await watch.next())?.type, "ADDED");
  await api.call("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.test.io");
  let event = await watch.next();
  while (event?.type === "ADDED") event = await watch.next();
  assert.equal(event?.type, "DELETED");
  watch.close();
  assert.equal((await api.call("GET", path)).code, 404);
});

test("CiliumNetworkPolicy is served from the start and checked beyond its schema", async () => {
  const policies = "/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies";
  const policy = (rule: JsonObject): JsonObject => ({
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "p" },
    spec: { endpointSelector: { matchLabels: { app: "x" } }, ingress: [rule] },
  });
  const bad = await api.call(
    "POST",
    policies,
    policy({ toPorts: [{ ports: [{ port: "99999", protocol: "TCP" }] }] }),
  );
  assert.equal(bad.code, 422);
  assert.equal(
    listAt(bad.body, "details", "causes")[0]?.["field"],
    "spec.ingress[0].toPorts[0].ports[0].port",
  );
  const good = await api.call("POST", policies, policy({ fromEndpoints: [{ matchLabels: { app: "z" } }] }));
  assert.equal(good.code, 201, JSON.stringify(good.body));
  assert.ok(objectAt(good.body, "spec"));
});

test("JSONPath of printer columns", () => {
  const from = {
    a: {
      "b.c": [1, 2],
      d: [
        { type: "X", v: "x" },
        { type: "Y", v: "y" },
      ],
    },
  };
  const found = (path: string) => compilePath(path)(from);
  assert.deepEqual(found(".a.b\\.c[1]"), [2]);
  assert.deepEqual(found(".a['b.c'][*]"), [1, 2]);
  assert.deepEqual(found('.a.d[?(@.type=="Y")].v'), ["y"]);
  assert.deepEqual(found(".a.nothing.here"), []);
  assert.deepEqual(found(".a.d[?(broken"), []);
});
