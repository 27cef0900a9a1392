// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { listAt, objectAt } from "#lab/apiserver/object.ts";
import { type Case, configMap, deployment, message } from "../case.ts";
import type { Answer } from "../target.ts";

function assertStatus(answer: Answer, code: number, reason: string, text: string | RegExp): void {
  assert.deepEqual(
    [
      answer.code,
      answer.body["kind"],
      answer.body["apiVersion"],
      answer.body["status"],
      answer.body["code"],
      answer.body["reason"],
    ],
    [code, "Status", "v1", "Failure", code, reason],
  );
  if (typeof text === "string") assert.equal(message(answer), text);
  else assert.match(message(answer), text);
}

export const errorCases: readonly Case[] = [
  {
    name: "what is not there: 404 NotFound, with name, group and kind",
    run: async (api) => {
      const answer = await api.call("GET", api.path("apps/v1/deployments", "nope"));
      assertStatus(answer, 404, "NotFound", 'deployments.apps "nope" not found');
      assert.deepEqual(objectAt(answer.body, "details"), {
        name: "nope",
        group: "apps",
        kind: "deployments",
      });
    },
  },
  {
    name: "what is there already: 409 AlreadyExists",
    run: async (api) => {
      await api.call("POST", api.path("configmaps"), configMap("twice"));
      const answer = await api.call("POST", api.path("configmaps"), configMap("twice"));
      assertStatus(answer, 409, "AlreadyExists", 'configmaps "twice" already exists');
      assert.deepEqual(objectAt(answer.body, "details"), { name: "twice", kind: "configmaps" });
    },
  },
  {
    name: "a namespace that is not there: 404 on creation, an empty list",
    run: async (api) => {
      const answer = await api.call("POST", "/api/v1/namespaces/none/configmaps", configMap("a"));
      assertStatus(answer, 404, "NotFound", 'namespaces "none" not found');
      const list = await api.call("GET", "/api/v1/namespaces/none/configmaps");
      assert.deepEqual([list.code, list.body["items"]], [200, []]);
    },
  },
  {
    name: "a name that cannot be: 422 Invalid, with the field as a cause",
    run: async (api) => {
      const answer = await api.call("POST", api.path("configmaps"), configMap("Bad_Name"));
      assertStatus(
        answer,
        422,
        "Invalid",
        /^ConfigMap "Bad_Name" is invalid: metadata\.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain/,
      );
      const [cause] = listAt(answer.body, "details", "causes");
      assert.deepEqual([cause?.["reason"], cause?.["field"]], ["FieldValueInvalid", "metadata.name"]);
    },
  },
  {
    name: "what is required and missing: 422 with its field",
    run: async (api) => {
      const body = {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "portless" },
        spec: { selector: { a: "b" } },
      };
      assertStatus(
        await api.call("POST", api.path("services"), body),
        422,
        "Invalid",
        'Service "portless" is invalid: spec.ports: Required value',
      );
      const other = deployment("mismatch", { selector: { matchLabels: { app: "another" } } });
      const answer = await api.call("POST", api.path("apps/v1/deployments"), other);
      assertStatus(
        answer,
        422,
        "Invalid",
        /spec\.template\.metadata\.labels: Invalid value: .*`selector` does not match template `labels`/,
      );
    },
  },
  {
    name: "what cannot be changed: 422",
    run: async (api) => {
      const made = await api.call("POST", api.path("apps/v1/deployments"), deployment("fixed"));
      const spec = { ...objectAt(made.body, "spec"), selector: { matchLabels: { app: "fixed", more: "x" } } };
      const labels = { app: "fixed", more: "x" };
      const template = { ...objectAt(spec as never, "template"), metadata: { labels } };
      const answer = await api.call("PUT", api.path("apps/v1/deployments", "fixed"), {
        ...made.body,
        spec: { ...spec, template },
      });
      assertStatus(answer, 422, "Invalid", /spec\.selector: Invalid value: .*field is immutable/);
    },
  },
  {
    name: "a body of the wrong type, kind or form: 400 BadRequest",
    run: async (api) => {
      const typed = await api.call(
        "POST",
        api.path("apps/v1/deployments"),
        deployment("typed", { replicas: "many" }),
      );
      assertStatus(
        typed,
        400,
        "BadRequest",
        /cannot unmarshal string into Go struct field DeploymentSpec\.spec\.replicas of type int32/,
      );
      const kind = await api.call("POST", api.path("configmaps"), { ...configMap("kind"), kind: "Secret" });
      assertStatus(kind, 400, "BadRequest", /does not match|cannot be handled as a/);
      const text = await api.call("POST", api.path("configmaps"), "{not json");
      assert.equal(text.code, 400);
    },
  },
  {
    name: "a body whose name or namespace is not that of the path: 400",
    run: async (api) => {
      await api.call("POST", api.path("configmaps"), configMap("right"));
      const name = await api.call("PUT", api.path("configmaps", "right"), configMap("wrong"));
      assertStatus(
        name,
        400,
        "BadRequest",
        /the name of the object \(wrong.*\) does not match the name on the URL \(right\)/,
      );
      const elsewhere = configMap("other", {}, { namespace: "default" });
      const namespace = await api.call("POST", api.path("configmaps"), elsewhere);
      assertStatus(
        namespace,
        400,
        "BadRequest",
        /the namespace of the provided object does not match the namespace sent on the request/,
      );
    },
  },
  {
    name: "a version on creation: refused",
    run: async (api) => {
      const answer = await api.call(
        "POST",
        api.path("configmaps"),
        configMap("versioned", {}, { resourceVersion: "5" }),
      );
      assert.equal(message(answer), "resourceVersion should not be set on objects to be created");
    },
  },
  {
    name: "unknown and duplicate fields: refused when strict, else warnings",
    run: async (api) => {
      const body = deployment("strict", { replica: 2 });
      const strict = await api.call(
        "POST",
        `${api.path("apps/v1/deployments")}?fieldValidation=Strict`,
        body,
      );
      assertStatus(strict, 400, "BadRequest", /strict decoding error: unknown field "spec\.replica"$/);
      const text =
        '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"dup"},"data":{"a":"1","a":"2"}}';
      const twice = await api.call("POST", `${api.path("configmaps")}?fieldValidation=Strict`, text);
      assertStatus(twice, 400, "BadRequest", /strict decoding error: duplicate field "data\.a"$/);
      const warned = await api.call("POST", `${api.path("apps/v1/deployments")}?fieldValidation=Warn`, body);
      assert.equal(warned.code, 201);
      assert.match(String(warned.headers["warning"]), /^299 - "unknown field \\"spec\.replica\\""/);
    },
  },
  {
    name: "paths, methods and media types that are not served",
    run: async (api) => {
      assert.equal((await api.call("GET", "/apis/nothing/v1/things")).code, 404);
      assert.equal((await api.call("GET", "/api/v1/namespaces/default/things")).code, 404);
      const method = await api.call("POST", api.path("configmaps", "a"), configMap("a"));
      assertStatus(
        method,
        405,
        "MethodNotAllowed",
        /the server does not allow this method on the requested resource/,
      );
      const type = await api.call("POST", api.path("configmaps"), "a", { "content-type": "text/plain" });
      assertStatus(type, 415, "UnsupportedMediaType", /the body of the request was in an unknown format/);
      const accept = await api.call("GET", api.path("configmaps"), undefined, { accept: "text/html;x=y" });
      assert.equal(accept.code, 406);
    },
  },
  {
    name: "who has a wrong token: 401 Unauthorized",
    run: async (api) => {
      const answer = await api.call("GET", api.path("configmaps"), undefined, {
        authorization: "Bearer wrong",
      });
      assertStatus(answer, 401, "Unauthorized", "Unauthorized");
    },
  },
];
