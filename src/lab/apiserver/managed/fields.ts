// SPDX-License-Identifier: Apache-2.0
import { isObject, type Json, type JsonObject, same } from "../object.ts";
import { elementKey, fieldSchema, type Schema } from "../schema/schema.ts";

/**
 * A set of fields in the form of FieldsV1 (KEP-555): `f:name` a field, `k:{…}` an element of a keyed list, `v:…` a member
 * of a set, `.` the element itself. A node without members is a field owned as a whole.
 */
export interface FieldSet {
  readonly [step: string]: FieldSet;
}

const whole: FieldSet = {};

/** Every field a value sets. */
export function fieldsOf(schema: Schema | undefined, value: Json): FieldSet {
  return walk(schema, value, undefined, false);
}

/** The fields of `next` that are new or differ from `before`. */
export function changedFields(schema: Schema | undefined, next: Json, before: Json): FieldSet {
  return walk(schema, next, before, true);
}

/** Members of a value: the step that names each, its schema and value. None when the value is owned as a whole. */
export function members(
  schema: Schema | undefined,
  value: Json,
): [step: string, schema: Schema | undefined, value: Json][] {
  if (isObject(value) && !schema?.atomic) {
    return Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([name, item]) => [`f:${name}`, fieldSchema(schema, name), item]);
  }
  if (Array.isArray(value) && schema?.listType === "map" && schema.listKeys) {
    const keys = schema.listKeys;
    return value.map((item) => [`k:${elementKey(schema, item, keys)}`, schema.items, item]);
  }
  if (Array.isArray(value) && schema?.listType === "set") {
    return value.map((item) => [`v:${JSON.stringify(item)}`, undefined, item]);
  }
  return [];
}

function walk(schema: Schema | undefined, value: Json, before: Json, onlyChanges: boolean): FieldSet {
  const parts = members(schema, value);
  if (parts.length === 0) return whole;
  const old = new Map(onlyChanges ? members(schema, before).map(([step, , item]) => [step, item]) : []);
  const out: Record<string, FieldSet> = {};
  for (const [step, inner, item] of parts) {
    if (onlyChanges && old.has(step) && same(old.get(step), item)) continue;
    const below = walk(inner, item, old.get(step), onlyChanges);
    const isNew = !onlyChanges || !old.has(step);
    // An element of a list is a thing of its own beside its fields.
    if (step.startsWith("k:") && isNew) out[step] = { ".": whole, ...below };
    else if (Object.keys(below).length > 0 || isNew || !sameMembers(inner, old.get(step), item))
      out[step] = below;
  }
  return out;
}

/** True when the change between two values is only that members went away: nobody owns an absence. */
function sameMembers(schema: Schema | undefined, before: Json, next: Json): boolean {
  return members(schema, before).length > 0 && members(schema, next).length > 0;
}

function isWhole(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

export function isEmpty(set: FieldSet | undefined): boolean {
  return set === undefined || isWhole(set);
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  const out: Record<string, FieldSet> = { ...a };
  for (const [step, below] of Object.entries(b))
    out[step] = Object.hasOwn(a, step) ? union(a[step]!, below) : below;
  return out;
}

/** Fields of `a` that `b` does not name. An empty object in `b` says nothing of what is below it in `a`. */
export function subtract(a: FieldSet, b: FieldSet): FieldSet {
  const out: Record<string, FieldSet> = {};
  for (const [step, below] of Object.entries(a)) {
    const other = Object.hasOwn(b, step) ? b[step] : undefined;
    if (!other) out[step] = below;
    else if (!isWhole(below)) {
      const rest = subtract(below, other);
      if (!isWhole(rest)) out[step] = rest;
    }
  }
  return out;
}

/** Fields that both name. */
export function intersect(a: FieldSet, b: FieldSet): FieldSet {
  const out: Record<string, FieldSet> = {};
  for (const [step, below] of Object.entries(a)) {
    const other = Object.hasOwn(b, step) ? b[step] : undefined;
    if (!other) continue;
    if (isWhole(below) && isWhole(other)) out[step] = whole;
    else {
      const both = intersect(below, other);
      if (!isWhole(both)) out[step] = both;
    }
  }
  return out;
}

/** The paths of a set's fields as errors show them: `.spec.containers[name="web"].image`. */
export function fieldPaths(set: FieldSet, prefix = ""): string[] {
  return Object.entries(set).flatMap(([step, below]) => {
    if (step === ".") return [prefix];
    const path = prefix + stepText(step);
    return isWhole(below) ? [path] : fieldPaths(below, path);
  });
}

function stepText(step: string): string {
  const text = step.slice(2);
  if (step.startsWith("f:")) return `.${text}`;
  if (step.startsWith("v:")) return `[=${text}]`;
  const keys = Object.entries(JSON.parse(text) as JsonObject).map(
    ([name, value]) => `${name}=${JSON.stringify(value)}`,
  );
  return `[${keys.join(",")}]`;
}
