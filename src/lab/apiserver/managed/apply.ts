// SPDX-License-Identifier: Apache-2.0
import { ApiError } from "../errors.ts";
import { clone, isObject, type Json, type JsonObject, type KubeObject, now } from "../object.ts";
import { apiVersionOf, type Resource } from "../resource.ts";
import { elementKey, fieldSchema, type Schema } from "../schema/schema.ts";
import {
  changedFields,
  type FieldSet,
  fieldPaths,
  fieldsOf,
  intersect,
  isEmpty,
  members,
  subtract,
} from "./fields.ts";
import { type Manager, managersOf, ownable, setManagers } from "./track.ts";

export interface ApplyOptions {
  readonly manager: string;
  readonly force: boolean;
  readonly subresource: "status" | undefined;
}

/**
 * Server-side apply (KEP-555): the object `live` becomes when `manager` wants what `config` says. Fields it wanted before
 * and no longer does go away unless another manager owns them.
 * @throws ApiError 409 when another manager owns a field with a different value and `force` is not set.
 */
export function applyConfig(
  resource: Resource,
  live: KubeObject | undefined,
  config: KubeObject,
  options: ApplyOptions,
): KubeObject {
  const subresource = options.subresource ?? "";
  const wanted = ownable(resource, config, subresource);
  const wantedFields = fieldsOf(resource.schema, wanted);
  const managers = managersOf(live);
  const isMine = (m: Manager) =>
    m.manager === options.manager && m.operation === "Apply" && m.subresource === subresource;
  const mine = managers.find(isMine);
  const others = managers.filter((manager) => !isMine(manager));
  const current = live ? ownable(resource, live, subresource) : {};
  const changed = intersect(
    changedFields(resource.schema, mergeValue(resource.schema, current, wanted), current),
    wantedFields,
  );
  const contested = others
    .map((manager) => ({ manager, fields: intersect(manager.fields, changed) }))
    .filter((c) => !isEmpty(c.fields));
  if (contested.length > 0 && !options.force) throw applyConflict(contested);

  const base: KubeObject = live
    ? clone(live)
    : { apiVersion: config.apiVersion, kind: config.kind, metadata: { ...config.metadata } };
  const merged = mergeValue(resource.schema, base, wanted) as KubeObject;
  const keptByOthers = others.map((manager) =>
    options.force ? subtract(manager.fields, changed) : manager.fields,
  );
  const dropped = mine
    ? keptByOthers.reduce((set, fields) => subtract(set, fields), subtract(mine.fields, wantedFields))
    : {};
  const next = removeFields(resource.schema, merged, dropped) as KubeObject;
  const entry: Manager = {
    manager: options.manager,
    operation: "Apply",
    subresource,
    apiVersion: apiVersionOf(resource),
    time: mine && isEmpty(changed) && isEmpty(dropped) ? mine.time : now(),
    fields: wantedFields,
  };
  const rest = others.map((manager, i) => ({ ...manager, fields: keptByOthers[i]! }));
  // In its place among the others: saying the same again changes nothing.
  setManagers(next, rest.toSpliced(mine ? managers.indexOf(mine) : rest.length, 0, entry));
  return next;
}

function applyConflict(contested: readonly { manager: Manager; fields: FieldSet }[]): ApiError {
  const causes = contested.flatMap(({ manager, fields }) =>
    fieldPaths(fields).map((field) => ({
      reason: "FieldManagerConflict",
      message: `conflict with ${managerText(manager)}`,
      field,
    })),
  );
  const lines = causes.length === 1 ? `${causes[0]!.message}: ${causes[0]!.field}` : grouped(causes);
  const count = `${causes.length} conflict${causes.length === 1 ? "" : "s"}`;
  return new ApiError(409, "Conflict", `Apply failed with ${count}: ${lines}`, { causes });
}

/** Appliers are known by their name alone; of who updates, the version says how the fields are to be read. */
function managerText({ manager, operation, subresource, apiVersion }: Manager): string {
  if (operation === "Apply") return JSON.stringify(manager);
  const part = subresource ? ` with subresource ${JSON.stringify(subresource)}` : "";
  return `${JSON.stringify(manager)}${part} using ${apiVersion}`;
}

function grouped(causes: readonly { message: string; field: string }[]): string {
  const byManager = new Map<string, string[]>();
  for (const { message, field } of causes) byManager.set(message, [...(byManager.get(message) ?? []), field]);
  const sorted = [...byManager].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted
    .map(([message, fields]) => `${message.replace("conflict", "conflicts")}:\n- ${fields.join("\n- ")}`)
    .join("\n");
}

/** `wanted` laid over `live`: objects by field, keyed lists by element, sets as unions, everything else replaced. */
function mergeValue(schema: Schema | undefined, live: Json, wanted: Json): Json {
  if (isObject(wanted) && isObject(live) && !schema?.atomic) {
    const out: JsonObject = { ...live };
    for (const [name, value] of Object.entries(wanted))
      out[name] = mergeValue(fieldSchema(schema, name), live[name], value);
    return out;
  }
  if (
    Array.isArray(wanted) &&
    Array.isArray(live) &&
    (schema?.listType === "map" || schema?.listType === "set")
  ) {
    const keys = schema.listKeys ?? [];
    const byKey = new Map(live.map((item) => [elementKey(schema, item, keys), item]));
    for (const item of wanted) {
      const key = elementKey(schema, item, keys);
      byKey.set(key, mergeValue(schema.items, byKey.get(key), item));
    }
    return [...byKey.values()];
  }
  return clone(wanted);
}

/** A value without the fields of a set. An element goes only when the set holds the element itself. */
function removeFields(schema: Schema | undefined, value: Json, set: FieldSet): Json {
  if (isEmpty(set)) return value;
  const kept: [string, Json][] = [];
  for (const [step, inner, item] of members(schema, value)) {
    const below = Object.hasOwn(set, step) ? set[step] : undefined;
    if (!below) kept.push([step, item]);
    else if (!isEmpty(below) && !Object.hasOwn(below, "."))
      kept.push([step, removeFields(inner, item, below)]);
  }
  if (Array.isArray(value)) return kept.map(([, item]) => item);
  return Object.fromEntries(kept.map(([step, item]) => [step.slice(2), item]));
}
