// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "./object.ts";
import { apiVersionOf, type Catalog, type Resource } from "./resource.ts";
import type { Schema } from "./schema/schema.ts";

/** `/openapi/v3`: where each group's document is. */
export function openapiRoot(catalog: Catalog): JsonObject {
  const paths: JsonObject = {};
  for (const resource of catalog.all()) {
    const path = `${resource.group === "" ? "api" : "apis"}/${apiVersionOf(resource)}`;
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${catalog.generation}` };
  }
  return { paths };
}

/**
 * The OpenAPI v3 document of a group and version. Patches do not list the strategic merge type: kubectl then computes
 * its patches from the types it was built with, which know every merge key.
 */
export function openapiDocument(catalog: Catalog, group: string, version: string): JsonObject | undefined {
  const resources = catalog
    .all()
    .filter((resource) => resource.group === group && resource.version === version);
  if (resources.length === 0) return undefined;
  const schemas: JsonObject = {};
  const paths: JsonObject = {};
  for (const resource of resources) {
    const name = componentName(resource);
    schemas[name] = {
      ...schemaDocument(resource.schema, schemas, true),
      "x-kubernetes-group-version-kind": [kindOf(resource)],
    };
    Object.assign(paths, pathsOf(resource, name));
  }
  const info = { title: "Weft lab", version: "v1" };
  return { openapi: "3.0.0", info, paths, components: { schemas } };
}

/** The older form of the document, which names no kinds: clients that read it have nothing to check by. */
export const openapi2: JsonObject = { swagger: "2.0", info: { title: "Weft lab", version: "v1" }, paths: {} };

/** {@link openapi2} as `openapi.v2.Document`: swagger is field 1, info 2 (title 1, version 2), paths 8. */
export function openapi2Protobuf(): Buffer {
  const field = (number: number, content: Buffer) =>
    Buffer.concat([Buffer.from([(number << 3) | 2, content.length]), content]);
  const text = (number: number, value: string) => field(number, Buffer.from(value));
  return Buffer.concat([
    text(1, "2.0"),
    field(2, Buffer.concat([text(1, "Weft lab"), text(2, "v1")])),
    field(8, Buffer.alloc(0)),
  ]);
}

function kindOf(resource: Resource): JsonObject {
  return { group: resource.group, version: resource.version, kind: resource.kind };
}

function componentName(resource: Resource): string {
  const group = resource.group === "" ? "core" : resource.group;
  return `${group.split(".").reverse().join(".")}.${resource.version}.${resource.kind}`;
}

function parameter(name: string, type: string): JsonObject {
  return { name, in: "query", schema: { type, uniqueItems: true } };
}

const writeParameters = [
  parameter("dryRun", "string"),
  parameter("fieldManager", "string"),
  parameter("fieldValidation", "string"),
];
const patchParameters = [...writeParameters, parameter("force", "boolean")];
const listParameters = ["fieldSelector", "labelSelector", "continue", "resourceVersion"].map((name) =>
  parameter(name, "string"),
);
const patchTypes = [
  "application/apply-patch+yaml",
  "application/json-patch+json",
  "application/merge-patch+json",
];

function pathsOf(resource: Resource, component: string): JsonObject {
  const root = `/${resource.group === "" ? "api" : "apis"}/${apiVersionOf(resource)}`;
  const base = resource.namespaced
    ? `${root}/namespaces/{namespace}/${resource.plural}`
    : `${root}/${resource.plural}`;
  const gvk = kindOf(resource);
  const content = { "application/json": { schema: { $ref: `#/components/schemas/${component}` } } };
  const responses = { "200": { description: "OK", content } };
  const operation = (action: string, parameters: JsonObject[], more: JsonObject = {}): JsonObject => ({
    ...more,
    parameters,
    responses,
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": gvk,
  });
  const anyContent = Object.fromEntries(patchTypes.map((type) => [type, { schema: { type: "object" } }]));
  const one = {
    get: operation("get", []),
    put: operation("put", writeParameters, { requestBody: { content } }),
    patch: operation("patch", patchParameters, { requestBody: { content: anyContent } }),
    delete: operation("delete", [
      parameter("gracePeriodSeconds", "integer"),
      parameter("propagationPolicy", "string"),
    ]),
  };
  const paths: JsonObject = {
    [base]: {
      get: operation("list", listParameters),
      post: operation("post", writeParameters, { requestBody: { content } }),
    },
  };
  if (!resource.review) paths[`${base}/{name}`] = one;
  return paths;
}

/** A schema as OpenAPI says it; named types go into `components` and are referred to. */
function schemaDocument(schema: Schema, components: JsonObject, top = false): JsonObject {
  if (schema.name && !top) {
    const name = `io.k8s.types.${schema.name}`;
    if (!components[name]) {
      // Put in before it is made: types may contain themselves.
      components[name] = {};
      components[name] = schemaBody(schema, components);
    }
    return { allOf: [{ $ref: `#/components/schemas/${name}` }], default: {} };
  }
  return schemaBody(schema, components);
}

function schemaBody(schema: Schema, components: JsonObject): JsonObject {
  if (schema.type === "any") return { "x-kubernetes-preserve-unknown-fields": true };
  if (schema.intOrString)
    return { "x-kubernetes-int-or-string": true, oneOf: [{ type: "integer" }, { type: "string" }] };
  const out: JsonObject = { type: schema.type };
  if (schema.format) out["format"] = schema.format;
  if (schema.required && schema.required.length > 0) out["required"] = [...schema.required];
  if (schema.items) out["items"] = schemaDocument(schema.items, components);
  if (schema.additional) out["additionalProperties"] = schemaDocument(schema.additional, components);
  if (schema.preserve) out["x-kubernetes-preserve-unknown-fields"] = true;
  if (schema.atomic) out["x-kubernetes-map-type"] = "atomic";
  if (schema.listType) out["x-kubernetes-list-type"] = schema.listType;
  if (schema.listKeys) out["x-kubernetes-list-map-keys"] = [...schema.listKeys];
  if (schema.mergeKey !== undefined) {
    out["x-kubernetes-patch-strategy"] = schema.retainKeys ? "merge,retainKeys" : "merge";
    if (schema.mergeKey !== "") out["x-kubernetes-patch-merge-key"] = schema.mergeKey;
  }
  const properties: JsonObject = {};
  for (const [name, field] of Object.entries(schema.properties ?? {}))
    properties[name] = schemaDocument(field, components);
  if (schema.properties) out["properties"] = properties;
  return out;
}
