// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type JsonObject, listAt, objectAt, stringAt, valueAt } from "#lab/apiserver/object.ts";
import { applyPatch, type Case, mergePatch, message, names, until } from "../case.ts";
import { defined, definitions, widget, widgets } from "./widgets.ts";

/** What one does with the objects of a definition. */
export const customResourceCases: readonly Case[] = [
  {
    name: "status of a custom resource is written apart; generation counts the spec",
    run: (api) =>
      defined(api, async () => {
        const made = await api.call(
          "POST",
          widgets(api),
          widget(api, "one", { size: 1 }, { status: { ready: true } }),
        );
        assert.equal(made.body["status"], undefined);
        const patch = { spec: { size: 5 }, status: { ready: true } };
        const status = await api.call("PATCH", `${widgets(api)}/one/status`, patch, mergePatch);
        assert.deepEqual(
          [
            status.code,
            objectAt(status.body, "status"),
            valueAt(status.body, "spec", "size"),
            valueAt(status.body, "metadata", "generation"),
          ],
          [200, { ready: true }, 1, 1],
        );
        const spec = await api.call(
          "PATCH",
          `${widgets(api)}/one`,
          { spec: { size: 5 }, status: { ready: false } },
          mergePatch,
        );
        assert.deepEqual(
          [
            objectAt(spec.body, "status"),
            valueAt(spec.body, "spec", "size"),
            valueAt(spec.body, "metadata", "generation"),
          ],
          [{ ready: true }, 5, 2],
        );
      }),
  },
  {
    name: "apply to a custom resource: lists by their keys, conflicts",
    run: (api) =>
      defined(api, async () => {
        const put = (manager: string, spec: JsonObject) =>
          api.call(
            "PATCH",
            `${widgets(api)}/one?fieldManager=${manager}`,
            widget(api, "one", spec),
            applyPatch,
          );
        assert.equal((await put("one", { size: 1, ports: [{ port: 1, name: "a" }] })).code, 201);
        const both = await put("two", { size: 1, ports: [{ port: 2, name: "b" }] });
        assert.deepEqual(
          listAt(both.body, "spec", "ports").map((port) => port["port"]),
          [1, 2],
        );
        const conflict = await put("two", { size: 2 });
        assert.deepEqual([conflict.code, conflict.body["reason"]], [409, "Conflict"]);
        assert.match(message(conflict), /conflict with "one".*: \.spec\.size/);
      }),
  },
  {
    name: "merge patches of custom resources, but no strategic ones",
    run: (api) =>
      defined(api, async () => {
        await api.call("POST", widgets(api), widget(api, "one", { size: 1, tags: { a: "1" } }));
        const merged = await api.call(
          "PATCH",
          `${widgets(api)}/one`,
          { spec: { tags: { a: null, b: "2" } } },
          mergePatch,
        );
        assert.deepEqual(objectAt(merged.body, "spec", "tags"), { b: "2" });
        const strategic = { "content-type": "application/strategic-merge-patch+json" };
        assert.equal((await api.call("PATCH", `${widgets(api)}/one`, {}, strategic)).code, 415);
      }),
  },
  {
    name: "custom resources are watched, selected and found by discovery",
    run: (api) =>
      defined(api, async () => {
        const list = await api.call("GET", widgets(api));
        const from = stringAt(list.body, "metadata", "resourceVersion");
        const watch = await api.watch(`${widgets(api)}?watch=true&resourceVersion=${from}`);
        await api.call("POST", widgets(api), widget(api, "one", { size: 1 }));
        const event = await watch.next();
        assert.deepEqual([event?.type, event?.object.kind], ["ADDED", "Widget"]);
        watch.close();
        assert.deepEqual(names(await api.call("GET", `${widgets(api)}?fieldSelector=metadata.name%3Done`)), [
          "one",
        ]);
        const found = () => api.call("GET", `/apis/${api.namespace}.weft.test/v1`);
        const { body } = await until(found, (answer) => listAt(answer.body, "resources").length === 2);
        const [resource, status] = listAt(body, "resources").sort((a, b) =>
          String(a["name"]) < String(b["name"]) ? -1 : 1,
        );
        assert.deepEqual(
          [
            resource?.["name"],
            resource?.["kind"],
            resource?.["namespaced"],
            resource?.["shortNames"],
            resource?.["categories"],
          ],
          ["widgets", "Widget", true, ["wd"], ["weft"]],
        );
        assert.deepEqual(
          [status?.["name"], status?.["verbs"]],
          ["widgets/status", ["get", "patch", "update"]],
        );
      }),
  },
  {
    name: "a table of custom resources has the definition's columns",
    run: (api) =>
      defined(api, async () => {
        await api.call("POST", widgets(api), widget(api, "one", { size: 4 }));
        const accept = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };
        const { body } = await api.call("GET", widgets(api), undefined, accept);
        assert.deepEqual(
          listAt(body, "columnDefinitions").map((column) => column["name"]),
          ["Name", "Size"],
        );
        assert.deepEqual(listAt(body, "rows")[0]?.["cells"], ["one", 4]);
      }),
  },
  {
    name: "a definition is changed in place, and its objects with it",
    run: (api) =>
      defined(api, async () => {
        const at = `${definitions}/widgets.${api.namespace}.weft.test`;
        const { body } = await api.call("GET", at);
        const wider = structuredClone(body);
        const size = objectAt(
          listAt(wider, "spec", "versions")[0],
          "schema",
          "openAPIV3Schema",
          "properties",
          "spec",
          "properties",
          "size",
        );
        size["maximum"] = 99;
        assert.equal((await api.call("PUT", at, wider)).code, 200);
        await until(
          () => api.call("POST", widgets(api), widget(api, "wide", { size: 50 })),
          ({ code }) => code === 201,
        );
      }),
  },
];
