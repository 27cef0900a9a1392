// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";

export type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * The structural OpenAPI v3 schema (Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions") of a zod schema, as a CustomResourceDefinition carries it. What zod's own output
 * lacks for that: closed objects are not said to be closed (pruning and strict field validation do that), int-or-string has its one
 * permitted form, and "anything" is `x-kubernetes-preserve-unknown-fields`.
 */
export function structural(schema: z.ZodType): JsonSchema {
  const raw = z.toJSONSchema(schema, { target: "openapi-3.0", io: "input", unrepresentable: "any" });
  return fixed(raw as JsonSchema);
}

function fixed(schema: JsonSchema): JsonSchema {
  if (schema["x-kubernetes-int-or-string"] === true) {
    return { anyOf: [{ type: "integer" }, { type: "string" }], "x-kubernetes-int-or-string": true };
  }
  if (Object.keys(schema).length === 0) return { "x-kubernetes-preserve-unknown-fields": true };
  const out: Record<string, unknown> = { ...schema };
  delete out.$schema;
  if (out.type === "integer") boundInteger(out);
  if (isObject(out.items)) out.items = fixed(out.items);
  const { properties, additionalProperties } = out;
  if (isObject(properties)) {
    out.properties = Object.fromEntries(
      Object.entries(properties).map(([name, one]) => [name, fixed(one as JsonSchema)]),
    );
    delete out.additionalProperties;
    const open = isObject(additionalProperties) && Object.keys(additionalProperties).length === 0;
    if (open || additionalProperties === true) out["x-kubernetes-preserve-unknown-fields"] = true;
  } else if (isObject(additionalProperties)) {
    out.additionalProperties = fixed(additionalProperties);
  }
  return out;
}

/** Bounds that only say "exact in JavaScript" become a format. */
function boundInteger(schema: Record<string, unknown>): void {
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
  schema.format ??= "int64";
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
