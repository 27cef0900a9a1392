// SPDX-License-Identifier: Apache-2.0
import { badRequest } from "../errors.ts";
import { isObject, type Json, type JsonObject, type KubeObject } from "../object.ts";
import { fieldSchema, type Schema } from "./schema.ts";

export interface Decoded {
  readonly object: KubeObject;
  /** Paths of fields the schema does not know, left out of the object. */
  readonly unknown: readonly string[];
}

interface Walk {
  readonly unknown: string[];
  /** Built-in kinds refuse a wrong type here, as the real server's decoder does; custom ones in their validation. */
  readonly strictTypes: boolean;
}

/**
 * A sent object as the schema reads it: unknown fields and nulls left out, quantities as text.
 * @throws ApiError 400 when a value of a built-in kind has the wrong type.
 */
export function decode(schema: Schema, body: KubeObject, custom: boolean): Decoded {
  const walk: Walk = { unknown: [], strictTypes: !custom };
  try {
    const object = decodeObject(schema, body, { walk, path: "", owner: body.kind }) as KubeObject;
    return { object, unknown: walk.unknown };
  } catch (thrown) {
    if (!(thrown instanceof TypeMismatch)) throw thrown;
    const version = body.apiVersion.slice(body.apiVersion.lastIndexOf("/") + 1);
    throw badRequest(
      `${body.kind} in version "${version}" cannot be handled as a ${body.kind}: ${thrown.message}`,
    );
  }
}

class TypeMismatch extends Error {}

interface Place {
  readonly walk: Walk;
  readonly path: string;
  /** Name of the nearest type around, for the error text. */
  readonly owner: string;
}

function decodeValue(schema: Schema, value: Json, place: Place): Json {
  if (schema.type === "any") return value;
  if (Array.isArray(value) && schema.type === "array") {
    const items = schema.items;
    if (!items) return value;
    return value.map((item, i) => decodeValue(items, item, { ...place, path: `${place.path}[${i}]` }));
  }
  if (isObject(value) && schema.type === "object") return decodeObject(schema, value, place);
  if (schema.quantity && typeof value === "number") return String(value);
  if (place.walk.strictTypes && value !== null && !fits(schema, value)) throw mismatch(schema, value, place);
  return value;
}

function decodeObject(schema: Schema, value: JsonObject, place: Place): JsonObject {
  const out: JsonObject = {};
  const owner = schema.name ?? place.owner;
  for (const [name, item] of Object.entries(value)) {
    const path = place.path === "" ? name : `${place.path}.${name}`;
    const field = fieldSchema(schema, name);
    if (!field) {
      place.walk.unknown.push(path);
    } else if (item !== undefined && (item !== null || field.nullable || field.type === "any")) {
      out[name] = decodeValue(field, item, { ...place, path, owner });
    }
  }
  return out;
}

function fits(schema: Schema, value: Json): boolean {
  if (schema.intOrString) return typeof value === "string" || Number.isInteger(value);
  switch (schema.type) {
    case "string":
      return typeof value === "string";
    case "integer":
      return typeof value === "number" && Number.isInteger(value);
    case "number":
      return typeof value === "number";
    case "boolean":
      return typeof value === "boolean";
    default:
      return false;
  }
}

function mismatch(schema: Schema, value: Json, place: Place): TypeMismatch {
  const got = Array.isArray(value)
    ? "array"
    : isObject(value)
      ? "object"
      : typeof value === "boolean"
        ? "bool"
        : typeof value;
  const plainPath = place.path.replace(/\[\d+\]/g, "");
  const owner = place.owner.replace(/^(Core|Rbac|Events|Discovery)?V\d/, "");
  const text = typeof value === "number" ? `number ${value}` : got;
  return new TypeMismatch(
    `json: cannot unmarshal ${text} into Go struct field ${owner}.${plainPath} of type ${goType(schema)}`,
  );
}

function goType(schema: Schema): string {
  if (schema.intOrString) return "intstr.IntOrString";
  if (schema.type === "array") return `[]${schema.items ? goType(schema.items) : "interface {}"}`;
  if (schema.type === "object") {
    return schema.additional
      ? `map[string]${goType(schema.additional)}`
      : (schema.name?.replace(/^(Core)?(V\d)/, "v1.") ?? "object");
  }
  if (schema.type === "integer") return schema.format ?? "int64";
  if (schema.type === "boolean") return "bool";
  return schema.type === "number" ? "float64" : "string";
}
