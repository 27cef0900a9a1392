// SPDX-License-Identifier: Apache-2.0
import type { Json } from "../object.ts";

export type SchemaType = "object" | "array" | "string" | "integer" | "number" | "boolean" | "any";

/**
 * What a value may look like: one form for built-in kinds and for CustomResourceDefinitions. It says which fields
 * exist (strict decoding, pruning), how lists merge (patch and apply) and what values are allowed.
 */
export interface Schema {
  readonly type: SchemaType;
  /** Name of the type in the OpenAPI document; built-in types only. */
  readonly name?: string;
  /** Read through {@link fieldSchema}: built-in types refer to each other in circles and are filled in late. */
  readonly properties?: Readonly<Record<string, Schema>>;
  /** The values of a map with free keys. */
  readonly additional?: Schema;
  readonly items?: Schema;
  readonly required?: readonly string[];
  /** `x-kubernetes-list-type`; a list without one is atomic. */
  readonly listType?: "atomic" | "set" | "map";
  readonly listKeys?: readonly string[];
  /** Strategic merge: the list is merged by this key; "" merges a list of scalars as a set. */
  readonly mergeKey?: string;
  /** Strategic merge: `$retainKeys` may be sent with an element. */
  readonly retainKeys?: boolean;
  /** `x-kubernetes-map-type: atomic`: owned and replaced as a whole. */
  readonly atomic?: boolean;
  /** `x-kubernetes-preserve-unknown-fields`: unknown fields stay. */
  readonly preserve?: boolean;
  /** `x-kubernetes-embedded-resource`. */
  readonly embedded?: boolean;
  readonly intOrString?: boolean;
  /** A Kubernetes quantity: a number is taken and kept as text. */
  readonly quantity?: boolean;
  readonly nullable?: boolean;
  readonly format?: string;
  readonly default?: Json;
  readonly limits?: Limits;
}

/** Value checks, with the meaning they have in JSON schema. */
export interface Limits {
  readonly enum?: readonly Json[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly not?: Schema;
}

export const anySchema: Schema = { type: "any", preserve: true };

/** The schema of one field: a declared property, or the map's value schema; undefined when the field is unknown. */
export function fieldSchema(schema: Schema | undefined, name: string): Schema | undefined {
  if (!schema) return undefined;
  if (schema.type === "any") return anySchema;
  if (schema.properties && Object.hasOwn(schema.properties, name)) return schema.properties[name];
  if (schema.additional) return schema.additional;
  return schema.preserve ? anySchema : undefined;
}

/** The identity of an element of a `listType: map` list, or of a scalar in a set: equal keys are the same element. */
export function elementKey(schema: Schema, element: Json, keys: readonly string[]): string {
  if (typeof element !== "object" || element === null || Array.isArray(element))
    return JSON.stringify(element);
  const values: Record<string, Json> = {};
  for (const key of keys) values[key] = element[key] ?? schema.items?.properties?.[key]?.default ?? null;
  return JSON.stringify(values);
}
