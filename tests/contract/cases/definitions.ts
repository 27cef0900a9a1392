// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type JsonObject, listAt, objectAt } from "#lab/apiserver/object.ts";
import { type Case, message, until } from "../case.ts";
import { defined, definition, definitions, widget, widgets } from "./widgets.ts";

/** What a CustomResourceDefinition may say, and what its schema then holds. */
export const definitionCases: readonly Case[] = [
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
