// SPDX-License-Identifier: Apache-2.0
import { type FieldError, invalidField, notSupported, required } from "../errors.ts";
import { isObject, type JsonObject, listAt, objectAt, stringAt, stringsAt } from "../object.ts";
import { checkValue } from "../schema/check.ts";
import { compileSchema } from "./structural.ts";

const types = ["array", "boolean", "integer", "number", "object", "string"];
/** What a schema inside `allOf`, `anyOf`, `oneOf` or `not` may not say: it only judges, it declares nothing. */
const declaring = ["type", "default", "additionalProperties", "nullable", "title", "description"];
const logic = ["allOf", "anyOf", "oneOf"] as const;

/**
 * What keeps an `openAPIV3Schema` from being structural, as the API server says it. Rules in CEL are not read.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
 */
export function schemaErrors(root: JsonObject, path: string): FieldError[] {
  const errors = nodeErrors(root, path, "must not be empty at the root");
  const type = stringAt(root, "type");
  if (types.includes(type) && type !== "object") {
    errors.push(invalidField(`${path}.type`, type, "must be object at the root"));
  }
  return errors;
}

function nodeErrors(schema: JsonObject, path: string, untyped: string): FieldError[] {
  return [
    ...typeErrors(schema, path, untyped),
    ...ownErrors(schema, path),
    ...listErrors(schema, path),
    ...logicErrors(schema, path),
    ...childErrors(schema, path),
  ];
}

function typeErrors(schema: JsonObject, path: string, untyped: string): FieldError[] {
  const type = stringAt(schema, "type");
  const free =
    schema["x-kubernetes-int-or-string"] === true || schema["x-kubernetes-preserve-unknown-fields"] === true;
  if (type === "") return free ? [] : [required(`${path}.type`, untyped)];
  return types.includes(type) ? [] : [notSupported(`${path}.type`, type, types)];
}

function ownErrors(schema: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const forbid = (name: string, detail: string) =>
    errors.push({ type: "Forbidden", path: `${path}.${name}`, detail });
  if (schema["$ref"] !== undefined) forbid("$ref", "$ref is not supported");
  if (schema["uniqueItems"] === true) {
    forbid("uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
  }
  if (isObject(schema["properties"]) && schema["additionalProperties"] !== undefined) {
    forbid("additionalProperties", "additionalProperties and properties are mutual exclusive");
  }
  const pattern = stringAt(schema, "pattern");
  if (!isPattern(pattern)) {
    errors.push(invalidField(`${path}.pattern`, pattern, "must be a valid regular expression, but isn't"));
  }
  if (schema["default"] !== undefined) {
    const bad = checkValue(compileSchema(schema), schema["default"]);
    errors.push(...bad.map((error) => ({ ...error, path: `${path}.default${error.path}` })));
  }
  return errors;
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}

function listErrors(schema: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const items = schema["items"];
  if (stringAt(schema, "type") === "array" && !isObject(items))
    errors.push(required(`${path}.items`, "must be specified"));
  if (schema["x-kubernetes-list-type"] !== "map") return errors;
  const keys = stringsAt(schema, "x-kubernetes-list-map-keys");
  const at = `${path}.x-kubernetes-list-map-keys`;
  if (keys.length === 0) errors.push(required(at, "must not be empty if x-kubernetes-list-type is map"));
  const type = stringAt(items, "type");
  if (type !== "object") {
    const detail = "must be object if parent array's x-kubernetes-list-type is map";
    errors.push(invalidField(`${path}.items.type`, type, detail));
  }
  for (const [i, key] of keys.entries()) {
    if (objectAt(items, "properties")[key] === undefined) {
      errors.push(invalidField(`${at}[${i}]`, key, "must refer to a property of the items"));
    }
  }
  return errors;
}

function logicErrors(schema: JsonObject, path: string): FieldError[] {
  // That a value is a number or a text is said by types: the one place where a judging schema has them.
  if (schema["x-kubernetes-int-or-string"] === true) return [];
  const not = schema["not"];
  return [
    ...logic.flatMap((name) =>
      listAt(schema, name).flatMap((part, i) => judgingErrors(part, `${path}.${name}[${i}]`)),
    ),
    ...(isObject(not) ? judgingErrors(not, `${path}.not`) : []),
  ];
}

function judgingErrors(schema: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = declaring
    .filter((name) => schema[name] !== undefined)
    .map((name) => ({
      type: "Forbidden",
      path: `${path}.${name}`,
      detail: "must be empty to be structural",
    }));
  const inner = Object.entries(objectAt(schema, "properties")).flatMap(([name, part]) =>
    isObject(part) ? judgingErrors(part, `${path}.properties[${name}]`) : [],
  );
  const items = schema["items"];
  return [
    ...errors,
    ...inner,
    ...(isObject(items) ? judgingErrors(items, `${path}.items`) : []),
    ...logicErrors(schema, path),
  ];
}

function childErrors(schema: JsonObject, path: string): FieldError[] {
  const fields = "must not be empty for specified object fields";
  const errors = Object.entries(objectAt(schema, "properties")).flatMap(([name, part]) =>
    isObject(part) ? nodeErrors(part, `${path}.properties[${name}]`, fields) : [],
  );
  const { items, additionalProperties: additional } = schema;
  if (isObject(items))
    errors.push(...nodeErrors(items, `${path}.items`, "must not be empty for specified array items"));
  if (isObject(additional)) errors.push(...nodeErrors(additional, `${path}.additionalProperties`, fields));
  return errors;
}
