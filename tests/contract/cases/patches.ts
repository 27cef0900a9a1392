// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type JsonObject, listAt, objectAt, stringAt } from "#lab/apiserver/object.ts";
import {
  type Api,
  applyPatch,
  type Case,
  configMap,
  deployment,
  jsonPatch,
  mergePatch,
  message,
  strategicPatch,
  version,
} from "../case.ts";

const apply = (api: Api, manager: string, body: JsonObject, more = "") =>
  api.call("PATCH", `${api.path("configmaps", "applied")}?fieldManager=${manager}${more}`, body, applyPatch);
const applied = (data: { [key: string]: string }) => configMap("applied", data);
const managers = (body: JsonObject) =>
  listAt(body, "metadata", "managedFields").map((entry) => `${entry["manager"]}:${entry["operation"]}`);

const mergeCases: readonly Case[] = [
  {
    name: "a merge patch: null removes, the rest is put in",
    run: async (api) => {
      await api.call("POST", api.path("configmaps"), configMap("merged", { a: "1", b: "2" }));
      const { code, body } = await api.call(
        "PATCH",
        api.path("configmaps", "merged"),
        { data: { a: null, c: "3" } },
        mergePatch,
      );
      assert.deepEqual([code, objectAt(body, "data")], [200, { b: "2", c: "3" }]);
    },
  },
  {
    name: "a JSON patch: test, add, replace, remove; a test that fails changes nothing",
    run: async (api) => {
      await api.call("POST", api.path("configmaps"), configMap("patched", { a: "1", b: "2" }));
      const at = api.path("configmaps", "patched");
      const good = [
        { op: "test", path: "/data/a", value: "1" },
        { op: "replace", path: "/data/a", value: "9" },
        { op: "add", path: "/data/c~1d", value: "3" },
        { op: "remove", path: "/data/b" },
      ];
      const done = await api.call("PATCH", at, good as never, jsonPatch);
      // A key with a slash is no key of a ConfigMap: refused as a whole.
      assert.equal(done.code, 422);
      const right = await api.call("PATCH", at, good.filter((op) => op.op !== "add") as never, jsonPatch);
      assert.deepEqual([right.code, objectAt(right.body, "data")], [200, { a: "9" }]);
      const failed = await api.call(
        "PATCH",
        at,
        [{ op: "test", path: "/data/a", value: "1" }] as never,
        jsonPatch,
      );
      assert.deepEqual([failed.code, failed.body["reason"]], [422, "Invalid"]);
      const nowhere = await api.call("PATCH", at, [{ op: "remove", path: "/data/none" }] as never, jsonPatch);
      assert.equal(nowhere.code, 422);
    },
  },
  {
    name: "a strategic merge: containers by name, ports by number, directives",
    run: async (api) => {
      await api.call("POST", api.path("apps/v1/deployments"), deployment("strategic"));
      const at = api.path("apps/v1/deployments", "strategic");
      const template = (containers: JsonObject[]) => ({ spec: { template: { spec: { containers } } } });
      const added = await api.call(
        "PATCH",
        at,
        template([{ name: "side", image: "side:1" }]),
        strategicPatch,
      );
      assert.equal(added.code, 200);
      const containers = (body: JsonObject) =>
        listAt(body, "spec", "template", "spec", "containers").map((one) => `${one["name"]} ${one["image"]}`);
      assert.deepEqual(containers(added.body).sort(), ["side side:1", "web shop/web:1"]);
      const removed = await api.call(
        "PATCH",
        at,
        template([{ name: "side", $patch: "delete" }]),
        strategicPatch,
      );
      assert.deepEqual(containers(removed.body), ["web shop/web:1"]);
    },
  },
  {
    name: "a patch that names a stale version is refused",
    run: async (api) => {
      const made = await api.call("POST", api.path("configmaps"), configMap("versioned"));
      const at = api.path("configmaps", "versioned");
      await api.call("PATCH", at, { data: { a: "1" } }, mergePatch);
      const stale = { metadata: { resourceVersion: version(made) }, data: { a: "2" } };
      const answer = await api.call("PATCH", at, stale, mergePatch);
      assert.deepEqual([answer.code, answer.body["reason"]], [409, "Conflict"]);
    },
  },
  {
    name: "a patch of what is not there, in a form nobody knows, or not readable",
    run: async (api) => {
      await api.call("POST", api.path("configmaps"), configMap("bad"));
      const missing = await api.call("PATCH", api.path("configmaps", "absent"), {}, mergePatch);
      assert.equal(missing.code, 404);
      const type = await api.call(
        "PATCH",
        api.path("configmaps", "bad"),
        {},
        { "content-type": "text/plain" },
      );
      assert.deepEqual([type.code, type.body["reason"]], [415, "UnsupportedMediaType"]);
      const text = await api.call("PATCH", api.path("configmaps", "bad"), "{", mergePatch);
      assert.equal(text.code, 400);
    },
  },
  {
    name: "a status patch leaves the spec, a patch leaves the status",
    run: async (api) => {
      await api.call("POST", api.path("apps/v1/deployments"), deployment("parts"));
      const at = api.path("apps/v1/deployments", "parts");
      const status = await api.call(
        "PATCH",
        `${at}/status`,
        { spec: { replicas: 9 }, status: { replicas: 2 } },
        mergePatch,
      );
      assert.deepEqual(
        [objectAt(status.body, "spec")["replicas"], objectAt(status.body, "status")["replicas"]],
        [1, 2],
      );
      const spec = await api.call(
        "PATCH",
        at,
        { spec: { replicas: 4 }, status: { replicas: 8 } },
        mergePatch,
      );
      assert.deepEqual(
        [objectAt(spec.body, "spec")["replicas"], objectAt(spec.body, "status")["replicas"]],
        [4, 2],
      );
    },
  },
];

const applyCases: readonly Case[] = [
  {
    name: "apply creates (201), then changes (200), and owns what it named",
    run: async (api) => {
      const made = await apply(api, "one", applied({ a: "1", b: "1" }));
      assert.equal(made.code, 201);
      assert.deepEqual(managers(made.body), ["one:Apply"]);
      const changed = await apply(api, "one", applied({ a: "2" }));
      // What it no longer names, it takes away.
      assert.deepEqual([changed.code, objectAt(changed.body, "data")], [200, { a: "2" }]);
      const same = await apply(api, "one", applied({ a: "2" }));
      assert.equal(version(same), version(changed));
    },
  },
  {
    name: "two appliers share an object; what both own stays when one lets go",
    run: async (api) => {
      await apply(api, "one", applied({ a: "1", shared: "x" }));
      const second = await apply(api, "two", applied({ b: "2", shared: "x" }));
      assert.deepEqual(objectAt(second.body, "data"), { a: "1", b: "2", shared: "x" });
      assert.deepEqual(managers(second.body).sort(), ["one:Apply", "two:Apply"]);
      const less = await apply(api, "one", applied({}));
      assert.deepEqual(objectAt(less.body, "data"), { b: "2", shared: "x" });
    },
  },
  {
    name: "a conflict names who owns what; force takes it",
    run: async (api) => {
      await apply(api, "one", applied({ a: "1" }));
      const conflict = await apply(api, "two", applied({ a: "2" }));
      assert.deepEqual([conflict.code, conflict.body["reason"]], [409, "Conflict"]);
      assert.equal(message(conflict), 'Apply failed with 1 conflict: conflict with "one": .data.a');
      assert.deepEqual(listAt(conflict.body, "details", "causes"), [
        { reason: "FieldManagerConflict", message: 'conflict with "one"', field: ".data.a" },
      ]);
      const forced = await apply(api, "two", applied({ a: "2" }), "&force=true");
      assert.deepEqual([forced.code, objectAt(forced.body, "data")], [200, { a: "2" }]);
    },
  },
  {
    name: "conflicts with several managers are told by manager",
    run: async (api) => {
      await apply(api, "one", applied({ a: "1", b: "1" }));
      const at = `${api.path("configmaps", "applied")}?fieldManager=editor`;
      await api.call("PATCH", at, { data: { c: "1" } }, mergePatch);
      const conflict = await apply(api, "two", applied({ a: "2", b: "2", c: "2" }));
      assert.equal(conflict.code, 409);
      assert.equal(
        message(conflict),
        'Apply failed with 3 conflicts: conflicts with "editor" using v1:\n- .data.c\nconflicts with "one":\n- .data.a\n- .data.b',
      );
    },
  },
  {
    name: "an update takes ownership, and apply then conflicts with it",
    run: async (api) => {
      await apply(api, "one", applied({ a: "1" }));
      const at = `${api.path("configmaps", "applied")}?fieldManager=editor`;
      await api.call("PATCH", at, { data: { a: "edited" } }, mergePatch);
      const answer = await apply(api, "one", applied({ a: "1" }));
      assert.equal(answer.code, 409);
      assert.match(message(answer), /^Apply failed with 1 conflict: conflict with "editor" using v1/);
    },
  },
  {
    name: "lists with keys are owned by element",
    run: async (api) => {
      const service = (ports: JsonObject[]) => ({
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "keyed" },
        spec: { ports },
      });
      const put = (manager: string, ports: JsonObject[]) =>
        api.call(
          "PATCH",
          `${api.path("services", "keyed")}?fieldManager=${manager}`,
          service(ports),
          applyPatch,
        );
      await put("one", [{ name: "http", port: 80, protocol: "TCP" }]);
      const both = await put("two", [{ name: "dns", port: 53, protocol: "UDP" }]);
      assert.deepEqual(
        listAt(both.body, "spec", "ports").map((port) => port["port"]),
        [80, 53],
      );
      const left = await put("one", []);
      assert.deepEqual(
        listAt(left.body, "spec", "ports").map((port) => port["port"]),
        [53],
      );
    },
  },
  {
    name: "apply needs a manager, a name that fits, and no managedFields",
    run: async (api) => {
      const nobody = await api.call("PATCH", api.path("configmaps", "applied"), applied({}), applyPatch);
      assert.deepEqual([nobody.code, nobody.body["reason"]], [422, "Invalid"]);
      assert.match(message(nobody), /fieldManager: Required value: is required for apply patch/);
      const managed = applied({});
      (managed["metadata"] as JsonObject)["managedFields"] = [
        { manager: "x", operation: "Apply", apiVersion: "v1", fieldsType: "FieldsV1", fieldsV1: {} },
      ];
      const refused = await apply(api, "one", managed);
      assert.equal(refused.code, 400);
      assert.match(message(refused), /metadata.managedFields must be nil/);
    },
  },
  {
    name: "apply reads YAML",
    run: async (api) => {
      const yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: applied\ndata:\n  a: from yaml\n";
      const { code, body } = await api.call(
        "PATCH",
        `${api.path("configmaps", "applied")}?fieldManager=one`,
        yaml,
        applyPatch,
      );
      assert.deepEqual([code, stringAt(body, "data", "a")], [201, "from yaml"]);
    },
  },
  {
    name: "apply of the status owns the status alone",
    run: async (api) => {
      await api.call("POST", api.path("apps/v1/deployments"), deployment("status"));
      const at = `${api.path("apps/v1/deployments", "status")}/status?fieldManager=one`;
      const body = {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: "status" },
        status: { replicas: 3 },
      };
      const answer = await api.call("PATCH", at, body, applyPatch);
      assert.equal(answer.code, 200);
      const owned = listAt(answer.body, "metadata", "managedFields").find(
        (entry) => entry["manager"] === "one",
      );
      assert.deepEqual(
        [owned?.["subresource"], objectAt(owned, "fieldsV1")],
        ["status", { "f:status": { "f:replicas": {} } }],
      );
    },
  },
];

export const patchCases: readonly Case[] = [...mergeCases, ...applyCases];
