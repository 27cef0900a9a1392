// SPDX-License-Identifier: Apache-2.0
import ipaddr from "ipaddr.js";
import type { FieldError } from "../errors.ts";
import { isObject, type Json, type KubeObject, same } from "../object.ts";
import { elementKey, type Limits, type Schema } from "./schema.ts";

/** Checks an object of a custom kind against its schema; texts as the real server's. CEL rules are not evaluated. */
export function checkCustom(schema: Schema, object: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    if (name === "apiVersion" || name === "kind" || name === "metadata") continue;
    if (object[name] !== undefined) check(field, object[name], name, errors);
  }
  for (const name of schema.required ?? []) {
    if (object[name] === undefined) errors.push({ type: "Required", path: name });
  }
  return errors;
}

/** What is wrong with a value; paths are relative to it (`""`, `.a[0]`). */
export function checkValue(schema: Schema, value: Json): FieldError[] {
  const errors: FieldError[] = [];
  check(schema, value, "", errors);
  return errors;
}

function bad(errors: FieldError[], path: string, value: Json, detail: string): void {
  errors.push({ type: "Invalid", path, value, detail: `${path} in body ${detail}` });
}

function typeName(value: Json): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

function typeFits(schema: Schema, value: Json): boolean {
  if (schema.type === "any") return true;
  if (schema.intOrString) return typeof value === "string" || Number.isInteger(value);
  const type = typeName(value);
  return type === schema.type || (schema.type === "number" && type === "integer");
}

function check(schema: Schema, value: Json, path: string, errors: FieldError[]): void {
  if (value === null && schema.nullable) return;
  if (!typeFits(schema, value)) {
    const type = typeName(value);
    const detail = `${path} in body must be of type ${schema.intOrString ? "integer,string" : schema.type}: "${type}"`;
    errors.push({ type: "TypeInvalid", path, value: type, detail });
    return;
  }
  if (schema.limits) checkLimits(schema.limits, value, path, errors);
  if (schema.format && typeof value === "string" && !formatFits(schema.format, value)) {
    bad(errors, path, value, `must be of type ${schema.format}: ${JSON.stringify(value)}`);
  }
  if (Array.isArray(value)) {
    if (schema.items)
      for (const [i, item] of value.entries()) check(schema.items, item, `${path}[${i}]`, errors);
    if (schema.listType === "map" || schema.listType === "set") checkTwice(schema, value, path, errors);
  } else if (isObject(value)) {
    for (const name of schema.required ?? []) {
      if (value[name] === undefined) errors.push({ type: "Required", path: `${path}.${name}` });
    }
    for (const [name, item] of Object.entries(value)) {
      const field = schema.properties?.[name] ?? schema.additional;
      if (field && item !== undefined) check(field, item, `${path}.${name}`, errors);
    }
  }
}

/** The elements of a set, and the keys of a list that is a map, are there once. */
function checkTwice(schema: Schema, value: readonly Json[], path: string, errors: FieldError[]): void {
  const seen = new Set<string>();
  for (const [i, item] of value.entries()) {
    const key = elementKey(schema, item, schema.listKeys ?? []);
    if (seen.has(key)) {
      errors.push({ type: "Duplicate", path: `${path}[${i}]`, value: JSON.parse(key) as Json });
    }
    seen.add(key);
  }
}

function checkLimits(limits: Limits, value: Json, path: string, errors: FieldError[]): void {
  const { enum: allowed, allOf, anyOf, oneOf, not } = limits;
  if (allowed && !allowed.some((item) => same(item, value))) {
    const detail = `supported values: ${allowed.map((item) => JSON.stringify(item)).join(", ")}`;
    errors.push({ type: "NotSupported", path, value, detail });
  }
  if (typeof value === "number") checkNumber(limits, value, path, errors);
  if (typeof value === "string") checkString(limits, value, path, errors);
  if (Array.isArray(value))
    checkCount(limits.minItems, limits.maxItems, value.length, { path, errors, what: "items" });
  if (isObject(value)) {
    const count = Object.keys(value).length;
    checkCount(limits.minProperties, limits.maxProperties, count, { path, errors, what: "properties" });
  }
  if (
    limits.uniqueItems &&
    Array.isArray(value) &&
    value.some((a, i) => value.slice(0, i).some((b) => same(a, b)))
  ) {
    bad(errors, path, value, "shouldn't contain duplicates");
  }
  for (const part of allOf ?? []) check(part, value, path, errors);
  if (anyOf && !anyOf.some((part) => passes(part, value, path)))
    bad(errors, path, value, "must validate at least one schema (anyOf)");
  if (oneOf && oneOf.filter((part) => passes(part, value, path)).length !== 1) {
    bad(errors, path, value, "must validate one and only one schema (oneOf)");
  }
  if (not && passes(not, value, path)) bad(errors, path, value, "must not validate the schema (not)");
}

function passes(schema: Schema, value: Json, path: string): boolean {
  const errors: FieldError[] = [];
  check(schema, value, path, errors);
  return errors.length === 0;
}

function checkNumber(limits: Limits, value: number, path: string, errors: FieldError[]): void {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = limits;
  if (minimum !== undefined && (exclusiveMinimum ? value <= minimum : value < minimum)) {
    bad(errors, path, value, `should be greater than ${exclusiveMinimum ? "" : "or equal to "}${minimum}`);
  }
  if (maximum !== undefined && (exclusiveMaximum ? value >= maximum : value > maximum)) {
    bad(errors, path, value, `should be less than ${exclusiveMaximum ? "" : "or equal to "}${maximum}`);
  }
  if (multipleOf !== undefined && value % multipleOf !== 0)
    bad(errors, path, value, `should be a multiple of ${multipleOf}`);
}

function checkString(limits: Limits, value: string, path: string, errors: FieldError[]): void {
  const { minLength, maxLength, pattern } = limits;
  if (minLength !== undefined && value.length < minLength)
    bad(errors, path, value, `should be at least ${minLength} chars long`);
  if (maxLength !== undefined && value.length > maxLength) {
    errors.push({ type: "TooLong", path, detail: `may not be more than ${maxLength} bytes` });
  }
  if (pattern !== undefined && !patternOf(pattern).test(value))
    bad(errors, path, value, `should match '${pattern}'`);
}

interface Counted {
  readonly path: string;
  readonly errors: FieldError[];
  readonly what: string;
}

function checkCount(least: number | undefined, most: number | undefined, count: number, at: Counted): void {
  if (least !== undefined && count < least)
    bad(at.errors, at.path, count, `should have at least ${least} ${at.what}`);
  if (most !== undefined && count > most)
    at.errors.push({
      type: "TooMany",
      path: at.path,
      value: count,
      detail: `must have at most ${most} items`,
    });
}

const patterns = new Map<string, RegExp>();

function patternOf(text: string): RegExp {
  let pattern = patterns.get(text);
  if (!pattern) {
    pattern = new RegExp(text);
    patterns.set(text, pattern);
  }
  return pattern;
}

/** The formats a structural schema may name; one that is not known here is not checked. */
function formatFits(format: string, value: string): boolean {
  switch (format) {
    case "cidr":
      return ipaddr.isValidCIDR(value);
    case "ipv4":
      return ipaddr.IPv4.isValidFourPartDecimal(value);
    case "ipv6":
      return value.includes(":") && ipaddr.IPv6.isValid(value);
    case "date-time":
      return !Number.isNaN(Date.parse(value));
    case "uuid":
      return /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(value);
    default:
      return true;
  }
}
