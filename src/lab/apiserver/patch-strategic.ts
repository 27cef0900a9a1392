// SPDX-License-Identifier: Apache-2.0
import { badRequest } from "./errors.ts";
import { clone, isObject, type Json, type JsonObject, same } from "./object.ts";
import { fieldSchema, type Schema } from "./schema/schema.ts";

const orderPrefix = "$setElementOrder/";
const deletePrefix = "$deleteFromPrimitiveList/";

/**
 * Strategic merge patch: like a merge patch, but lists with a merge key are merged by it, and the directives `$patch`
 * (delete, replace, merge), `$retainKeys`, `$setElementOrder/x` and `$deleteFromPrimitiveList/x` are understood.
 * @throws ApiError 400 for a malformed directive or an element without its merge key.
 */
export function strategicPatch(schema: Schema | undefined, target: Json, patch: Json): Json {
  if (!isObject(patch)) return clone(patch);
  const directive = patch["$patch"];
  if (directive === "replace") return withoutDirectives(patch);
  if (directive === "delete") return {};
  if (directive !== undefined && directive !== "merge")
    throw badRequest(`Unknown patch type found: ${String(directive)}`);
  const out: JsonObject = isObject(target) ? { ...target } : {};
  retainKeys(out, patch);
  for (const [name, value] of Object.entries(patch)) {
    if (name === "$patch" || name === "$retainKeys" || name.startsWith(orderPrefix)) continue;
    if (name.startsWith(deletePrefix)) {
      deletePrimitives(out, name.slice(deletePrefix.length), value);
    } else if (value === null) {
      delete out[name];
    } else if (value !== undefined) {
      const order = patch[orderPrefix + name];
      out[name] = patchField(fieldSchema(schema, name), out[name], { value, order });
    }
  }
  for (const [name, order] of Object.entries(patch)) {
    if (!name.startsWith(orderPrefix)) continue;
    const field = name.slice(orderPrefix.length);
    const list = out[field];
    if (patch[field] === undefined && Array.isArray(list))
      out[field] = ordered(fieldSchema(schema, field), list, order);
  }
  return out;
}

function patchField(schema: Schema | undefined, current: Json, patch: { value: Json; order: Json }): Json {
  if (!Array.isArray(patch.value)) return strategicPatch(schema, current, patch.value);
  const list = Array.isArray(current) ? current : [];
  if (schema?.mergeKey === undefined) return withoutListDirectives(patch.value);
  const merged =
    schema.mergeKey === "" ? mergePrimitives(list, patch.value) : mergeElements(schema, list, patch.value);
  return ordered(schema, merged, patch.order);
}

function mergePrimitives(list: readonly Json[], added: readonly Json[]): Json[] {
  return [...list, ...added.filter((item) => !list.some((present) => same(present, item)))];
}

function mergeElements(schema: Schema, list: readonly Json[], patch: readonly Json[]): Json[] {
  const key = schema.mergeKey!;
  if (patch.some((item) => isObject(item) && item["$patch"] === "replace")) {
    return patch
      .filter((item) => !(isObject(item) && item["$patch"] === "replace" && item[key] === undefined))
      .map(withoutDirectives);
  }
  let out = [...list];
  for (const item of patch) {
    if (!isObject(item) || item[key] === undefined)
      throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    const matches = (other: Json) => isObject(other) && same(other[key], item[key]);
    if (item["$patch"] === "delete") {
      out = out.filter((other) => !matches(other));
      continue;
    }
    const at = out.findIndex(matches);
    if (at < 0) out.push(strategicPatch(schema.items, {}, item));
    else out[at] = strategicPatch(schema.items, out[at], item);
  }
  return out;
}

/** Elements in the order asked for; those it does not name keep their place after the one before them. */
function ordered(schema: Schema | undefined, list: Json[], order: Json): Json[] {
  if (!Array.isArray(order) || schema?.mergeKey === undefined) return list;
  const key = schema.mergeKey;
  const identity = (item: Json): string => JSON.stringify(key !== "" && isObject(item) ? item[key] : item);
  const rank = new Map(order.map((item, i) => [identity(item), i]));
  const named = list
    .filter((item) => rank.has(identity(item)))
    .sort((a, b) => rank.get(identity(a))! - rank.get(identity(b))!);
  const out: Json[] = [];
  let next = 0;
  for (const item of list) out.push(rank.has(identity(item)) ? named[next++] : item);
  return out;
}

function retainKeys(target: JsonObject, patch: JsonObject): void {
  const keep = patch["$retainKeys"];
  if (keep === undefined) return;
  if (!Array.isArray(keep)) throw badRequest("$retainKeys must be a list");
  for (const name of Object.keys(target)) if (!keep.includes(name)) delete target[name];
}

function deletePrimitives(target: JsonObject, name: string, values: Json): void {
  const list = target[name];
  if (!Array.isArray(values)) throw badRequest(`${deletePrefix}${name} must be a list`);
  if (Array.isArray(list)) target[name] = list.filter((item) => !values.some((value) => same(value, item)));
}

function withoutListDirectives(list: readonly Json[]): Json[] {
  return list
    .filter((item) => !(isObject(item) && item["$patch"] !== undefined && Object.keys(item).length === 1))
    .map(withoutDirectives);
}

function withoutDirectives(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutDirectives);
  if (!isObject(value)) return value;
  const out: JsonObject = {};
  for (const [name, item] of Object.entries(value)) {
    if (!name.startsWith("$patch") && !name.startsWith("$retainKeys") && !name.startsWith(orderPrefix))
      out[name] = withoutDirectives(item);
  }
  return out;
}
