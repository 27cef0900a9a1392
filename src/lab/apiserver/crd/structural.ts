// SPDX-License-Identifier: Apache-2.0
import { isObject, type Json, type JsonObject, objectAt, stringAt, stringsAt } from "../object.ts";
import { builtinSchema } from "../schema/builtin.ts";
import { anySchema, type Limits, type Schema, type SchemaType } from "../schema/schema.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The schema of a custom kind from a version's `openAPIV3Schema`; identity fields are the server's own. */
export function compileRoot(source: JsonObject): Schema {
  const { properties, required, ...rest } = compileSchema(source);
  const identity = {
    apiVersion: { type: "string" },
    kind: { type: "string" },
    metadata: builtinSchema("V1ObjectMeta"),
  } as const;
  return { ...rest, type: "object", properties: { ...properties, ...identity }, required: required ?? [] };
}

/** The schema of any value; what is not structural in it is left out of account. */
export function compileSchema(source: JsonObject): Schema {
  return compile(source, false);
}

/** In `allOf`, `anyOf`, `oneOf` and `not` a schema says nothing of types unless it names one. */
function compile(source: JsonObject, inLogic: boolean): Schema {
  const type = stringAt(source, "type") as SchemaType | "";
  const intOrString = source["x-kubernetes-int-or-string"] === true;
  const preserve = source["x-kubernetes-preserve-unknown-fields"] === true;
  const schema: Mutable<Schema> = { type: intOrString ? "string" : type === "" ? "any" : type };
  if (intOrString) schema.intOrString = true;
  if (preserve || (type === "" && !intOrString && !inLogic)) schema.preserve = true;
  if (isObject(source["properties"])) schema.properties = mapValues(source["properties"], inLogic);
  const additional = source["additionalProperties"];
  if (isObject(additional)) schema.additional = compile(additional, inLogic);
  else if (additional === true) schema.additional = anySchema;
  if (isObject(source["items"])) schema.items = compile(source["items"], inLogic);
  const required = stringsAt(source, "required");
  if (required.length > 0) schema.required = required;
  if (source["nullable"] === true) schema.nullable = true;
  if (source["default"] !== undefined) schema.default = source["default"];
  if (source["x-kubernetes-embedded-resource"] === true) schema.embedded = true;
  if (source["x-kubernetes-map-type"] === "atomic") schema.atomic = true;
  const format = stringAt(source, "format");
  if (format) schema.format = format;
  const listType = stringAt(source, "x-kubernetes-list-type");
  if (type === "array") schema.listType = listType === "map" || listType === "set" ? listType : "atomic";
  const listKeys = stringsAt(source, "x-kubernetes-list-map-keys");
  if (listKeys.length > 0) schema.listKeys = listKeys;
  const limits = limitsOf(source);
  if (limits) schema.limits = limits;
  return schema;
}

function mapValues(source: JsonObject, inLogic: boolean): Record<string, Schema> {
  return Object.fromEntries(
    Object.keys(source).map((name) => [name, compile(objectAt(source, name), inLogic)]),
  );
}

const numberLimits = [
  "minimum",
  "maximum",
  "multipleOf",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "minProperties",
  "maxProperties",
];
const booleanLimits = ["exclusiveMinimum", "exclusiveMaximum", "uniqueItems"];

function limitsOf(source: JsonObject): Limits | undefined {
  const out: Record<string, unknown> = {};
  const take = (name: string, fits: (value: Json) => boolean) => {
    if (fits(source[name])) out[name] = source[name];
  };
  for (const name of numberLimits) take(name, (value) => typeof value === "number");
  for (const name of booleanLimits) take(name, (value) => value === true);
  take("pattern", (value) => typeof value === "string");
  take("enum", Array.isArray);
  for (const name of ["allOf", "anyOf", "oneOf"]) {
    const parts = source[name];
    if (Array.isArray(parts)) out[name] = parts.filter(isObject).map((part) => compile(part, true));
  }
  const not = source["not"];
  if (isObject(not)) out["not"] = compile(not, true);
  // int-or-string is usually written with an anyOf that says the same again.
  if (source["x-kubernetes-int-or-string"] === true) delete out["anyOf"];
  return Object.keys(out).length > 0 ? (out as Limits) : undefined;
}

/** Puts a schema's defaults into a draft, in place of what is not there. */
export function applyDefaults(schema: Schema, value: Json): void {
  if (Array.isArray(value)) {
    if (schema.items) for (const item of value) applyDefaults(schema.items, item);
    return;
  }
  if (!isObject(value)) return;
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    // A null that may not be is as if it were not there.
    if (value[name] === null && !field.nullable) delete value[name];
    if (value[name] === undefined && field.default !== undefined)
      value[name] = structuredClone(field.default);
    if (value[name] !== undefined) applyDefaults(field, value[name]);
  }
  if (schema.additional) {
    for (const [name, item] of Object.entries(value))
      if (!schema.properties?.[name]) applyDefaults(schema.additional, item);
  }
}
