// SPDX-License-Identifier: Apache-2.0
// A kind of our own for the cases of definitions and custom resources.
import assert from "node:assert/strict";
import { type JsonObject, listAt, valueAt } from "#lab/apiserver/object.ts";
import { type Api, message, until } from "../case.ts";

/** Where definitions are made. */
export const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
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
export function definition(api: Api, openAPIV3Schema: JsonObject = schema): JsonObject {
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

/** Where they are. */
export const widgets = (api: Api) =>
  `/apis/${api.namespace}.weft.test/v1/namespaces/${api.namespace}/widgets`;
/** One of them. */
export const widget = (api: Api, name: string, spec: JsonObject, more: JsonObject = {}): JsonObject => ({
  apiVersion: `${api.namespace}.weft.test/v1`,
  kind: "Widget",
  metadata: { name },
  spec,
  ...more,
});

/** Makes the definition and waits until it is served; it is taken away when the case is over. */
export async function defined(
  api: Api,
  run: () => Promise<void>,
  openAPIV3Schema?: JsonObject,
): Promise<void> {
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
