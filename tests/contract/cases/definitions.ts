// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type JsonObject, listAt, objectAt, stringAt, valueAt } from "#lab/apiserver/object.ts";
import { type Api, applyPatch, type Case, mergePatch, message, names, until } from "../case.ts";

const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const schema = {
  type: "object",
  required: ["spec"],
  properties: {
    spec: {
      type: "object",
      required: ["size"],
      properties: {
        size: { type: "integer", minimum: 1, maximum: 9 },
        mode: { type: "string", enum: ["fast", "slow"], default: "fast" },
        address: { type: "string", pattern: "^[0-9.]+$" },
        free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        either: { "x-kubernetes-int-or-string": true },
        ports: {
          type: "array",
          maxItems: 2,
          items: {
            type: "object",
            required: ["port"],
            properties: { port: { type: "integer" }, name: { type: "string" } },
          },
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["port"],
        },
        tags: { type: "object", additionalProperties: { type: "string" }, maxProperties: 2 },
        set: { type: "array", items: { type: "string" }, "x-kubernetes-list-type": "set", minItems: 1 },
        short: { type: "string", minLength: 2, maxLength: 4 },
        subnet: { type: "string", format: "cidr" },
        none: { type: "string", nullable: true },
      },
    },
    status: { type: "object", properties: { ready: { type: "boolean" } } },
  },
};

/** The definition of `widgets` in a group of the case's own. */
function definition(api: Api, openAPIV3Schema: JsonObject = schema): JsonObject {
  const group = `${api.namespace}.weft.test`;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `widgets.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: {
        plural: "widgets",
        singular: "widget",
        kind: "Widget",
        listKind: "WidgetList",
        shortNames: ["wd"],
        categories: ["weft"],
      },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema },
          subresources: { status: {} },
          additionalPrinterColumns: [{ name: "Size", type: "integer", jsonPath: ".spec.size" }],
        },
      ],
    },
  };
}

const widgets = (api: Api) => `/apis/${api.namespace}.weft.test/v1/namespaces/${api.namespace}/widgets`;
const widget = (api: Api, name: string, spec: JsonObject, more: JsonObject = {}): JsonObject => ({
  apiVersion: `${api.namespace}.weft.test/v1`,
  kind: "Widget",
  metadata: { name },
  spec,
  ...more,
});

/** Makes the definition and waits until it is served; it is taken away when the case is over. */
async function defined(api: Api, run: () => Promise<void>, openAPIV3Schema?: JsonObject): Promise<void> {
  const made = await api.call("POST", definitions, definition(api, openAPIV3Schema));
  assert.equal(made.code, 201, message(made));
  const at = `${definitions}/widgets.${api.namespace}.weft.test`;
  try {
    const condition = (body: JsonObject, type: string) =>
      listAt(body, "status", "conditions").find((one) => one["type"] === type)?.["status"];
    const { body } = await until(
      () => api.call("GET", at),
      (answer) => condition(answer.body, "Established") === "True",
    );
    assert.equal(condition(body, "NamesAccepted"), "True");
    assert.deepEqual(valueAt(body, "status", "storedVersions"), ["v1"]);
    await until(
      () => api.call("GET", widgets(api)),
      ({ code }) => code === 200,
    );
    await run();
  } finally {
    await api.call("DELETE", at);
  }
}

const schemaCases: readonly Case[] = [
  {
    name: "a definition is served once it is established; what it defines goes with it",
    run: async (api) => {
      await defined(api, async () => {
        const made = await api.call("POST", widgets(api), widget(api, "one", { size: 1 }));
        assert.equal(made.code, 201);
        const list = await api.call("GET", widgets(api));
        assert.deepEqual(
          [list.body["kind"], list.body["apiVersion"]],
          ["WidgetList", `${api.namespace}.weft.test/v1`],
        );
        // Unlike built-in kinds, each item says what it is.
        assert.equal(listAt(list.body, "items")[0]?.["kind"], "Widget");
      });
      await until(
        () => api.call("GET", widgets(api)),
        ({ code }) => code === 404,
      );
    },
  },
  {
    name: "a definition that is not structural is refused",
    run: async (api) => {
      const bad = async (part: JsonObject) => {
        const answer = await api.call(
          "POST",
          definitions,
          definition(api, { type: "object", properties: { spec: part } }),
        );
        assert.deepEqual([answer.code, answer.body["reason"]], [422, "Invalid"], JSON.stringify(part));
        return message(answer);
      };
      assert.match(
        await bad({ properties: { a: { type: "string" } } }),
        /properties\[spec\]\.type: Required value: must not be empty/,
      );
      assert.match(
        await bad({ type: "object", properties: { a: {} } }),
        /properties\[spec\]\.properties\[a\]\.type: Required value/,
      );
      assert.match(
        await bad({ type: "array" }),
        /properties\[spec\]\.items: Required value: must be specified/,
      );
      assert.match(
        await bad({ type: "object", properties: { a: { type: "string", default: 5 } } }),
        /default: Invalid value/,
      );
    },
  },
  {
    name: "a definition's name is that of its plural and group",
    run: async (api) => {
      const wrong = { ...definition(api), metadata: { name: `gadgets.${api.namespace}.weft.test` } };
      const answer = await api.call("POST", definitions, wrong);
      assert.equal(answer.code, 422);
      assert.match(
        message(answer),
        /metadata\.name: Invalid value: .*must be spec\.names\.plural\+"\."\+spec\.group/,
      );
    },
  },
  {
    name: "defaults are filled in, unknown fields pruned, free ones kept",
    run: (api) =>
      defined(api, async () => {
        const spec = {
          size: 1,
          unknown: "x",
          free: { any: { thing: [1] } },
          either: "80%",
          ports: [{ port: 1, extra: true }],
        };
        const made = await api.call("POST", widgets(api), widget(api, "one", spec, { top: "x" }));
        assert.deepEqual(objectAt(made.body, "spec"), {
          size: 1,
          mode: "fast",
          free: { any: { thing: [1] } },
          either: "80%",
          ports: [{ port: 1 }],
        });
        assert.equal(made.body["top"], undefined);
        const strict = await api.call(
          "POST",
          `${widgets(api)}?fieldValidation=Strict`,
          widget(api, "two", spec),
        );
        assert.equal(strict.code, 400);
        assert.match(message(strict), /strict decoding error: .*unknown field "spec\.unknown"/);
      }),
  },
  {
    name: "what the schema forbids: 422, each field a cause",
    run: (api) =>
      defined(api, async () => {
        const refuse = async (spec: JsonObject) => {
          const answer = await api.call("POST", widgets(api), widget(api, "bad", spec));
          assert.deepEqual([answer.code, answer.body["reason"]], [422, "Invalid"], JSON.stringify(spec));
          return message(answer);
        };
        assert.equal(
          await refuse({}),
          'Widget.contract "bad" is invalid: spec.size: Required value'.replace(
            "contract",
            `${api.namespace}.weft.test`,
          ),
        );
        assert.match(
          await refuse({ size: 10 }),
          /spec\.size: Invalid value: 10: spec\.size in body should be less than or equal to 9/,
        );
        assert.match(
          await refuse({ size: "x" }),
          /spec\.size: Invalid value: "string": spec\.size in body must be of type integer: "string"/,
        );
        assert.match(
          await refuse({ size: 1, mode: "odd" }),
          /spec\.mode: Unsupported value: "odd": supported values: "fast", "slow"/,
        );
        assert.match(
          await refuse({ size: 1, address: "a" }),
          /spec\.address: Invalid value: "a": spec\.address in body should match '\^\[0-9\.\]\+\$'/,
        );
        assert.match(
          await refuse({ size: 1, ports: [{ port: 1 }, { port: 1 }] }),
          /spec\.ports\[1\]: Duplicate value/,
        );
        assert.match(
          await refuse({ size: 1, ports: [{ port: 1 }, { port: 2 }, { port: 3 }] }),
          /spec\.ports: Too many: 3: must have at most 2 items/,
        );
        assert.match(await refuse({ size: 1, set: ["a", "a"] }), /spec\.set\[1\]: Duplicate value: "a"/);
        assert.match(
          await refuse({ size: 1, set: [] }),
          /spec\.set: Invalid value: 0: spec\.set in body should have at least 1 items/,
        );
        assert.match(
          await refuse({ size: 1, short: "12345" }),
          /spec\.short: Too long: may not be more than 4 bytes/,
        );
        assert.match(
          await refuse({ size: 1, short: "1" }),
          /spec\.short: Invalid value: "1": spec\.short in body should be at least 2 chars long/,
        );
        assert.match(
          await refuse({ size: 1, tags: { a: "", b: "", c: "" } }),
          /spec\.tags: Too many: 3: must have at most 2 items/,
        );
        assert.match(
          await refuse({ size: 1, subnet: "10.0.0.0" }),
          /spec\.subnet: Invalid value: "10\.0\.0\.0": spec\.subnet in body must be of type cidr: "10\.0\.0\.0"/,
        );
        assert.match(await refuse({ size: null }), /spec\.size: Required value/);
        assert.match(
          await refuse({ size: 1.5 }),
          /spec\.size: Invalid value: "number": spec\.size in body must be of type integer: "number"/,
        );
        const both = await api.call("POST", widgets(api), widget(api, "bad", { size: 0, mode: "odd" }));
        assert.deepEqual(
          listAt(both.body, "details", "causes")
            .map((cause) => cause["field"])
            .sort(),
          ["spec.mode", "spec.size"],
        );
      }),
  },
  {
    name: "rules in CEL are held",
    run: (api) =>
      defined(
        api,
        async () => {
          const answer = await api.call("POST", widgets(api), widget(api, "ruled", { size: 1, least: 2 }));
          assert.equal(answer.code, 422);
          assert.match(message(answer), /size must not be below least/);
        },
        ruled,
      ),
    embedded: {
      differs:
        "Rules in CEL (`x-kubernetes-validations`) of a definition's schema are kept and shown, but not held.",
      run: (api) =>
        defined(
          api,
          async () => {
            const answer = await api.call("POST", widgets(api), widget(api, "ruled", { size: 1, least: 2 }));
            assert.equal(answer.code, 201);
          },
          ruled,
        ),
    },
  },
];

const ruled = {
  type: "object",
  properties: {
    spec: {
      type: "object",
      properties: { size: { type: "integer" }, least: { type: "integer" } },
      "x-kubernetes-validations": [
        { rule: "self.size >= self.least", message: "size must not be below least" },
      ],
    },
  },
};

const useCases: readonly Case[] = [
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

export const definitionCases: readonly Case[] = [...schemaCases, ...useCases];
