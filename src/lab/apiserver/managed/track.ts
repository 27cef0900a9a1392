// SPDX-License-Identifier: Apache-2.0
import { isObject, type JsonObject, type KubeObject, listAt, now, objectAt, stringAt } from "../object.ts";
import { apiVersionOf, type Resource } from "../resource.ts";
import { changedFields, type FieldSet, fieldsOf, intersect, isEmpty, subtract, union } from "./fields.ts";

/** One entry of `metadata.managedFields`. */
export interface Manager {
  readonly manager: string;
  readonly operation: "Apply" | "Update";
  readonly subresource: string;
  readonly apiVersion: string;
  readonly time: string;
  readonly fields: FieldSet;
}

/** More than these Update entries and the oldest are forgotten: an object's metadata stays bounded. */
const updateManagerLimit = 10;

export function managersOf(object: KubeObject | undefined): Manager[] {
  return listAt(object?.metadata, "managedFields").map((entry) => ({
    manager: stringAt(entry, "manager"),
    operation: stringAt(entry, "operation") === "Apply" ? "Apply" : "Update",
    subresource: stringAt(entry, "subresource"),
    apiVersion: stringAt(entry, "apiVersion"),
    time: stringAt(entry, "time"),
    fields: objectAt(entry, "fieldsV1") as unknown as FieldSet,
  }));
}

export function setManagers(object: KubeObject, managers: readonly Manager[]): void {
  const kept = managers.filter((manager) => !isEmpty(manager.fields));
  const updates = kept.filter((manager) => manager.operation === "Update");
  const dropped = new Set(updates.slice(0, Math.max(0, updates.length - updateManagerLimit)));
  const entries = kept
    .filter((manager) => !dropped.has(manager))
    .map((manager): JsonObject => {
      const { manager: name, operation, apiVersion, time, fields, subresource } = manager;
      const entry: JsonObject = {
        manager: name,
        operation,
        apiVersion,
        time,
        fieldsType: "FieldsV1",
        fieldsV1: fields as unknown as JsonObject,
      };
      if (subresource) entry["subresource"] = subresource;
      return entry;
    });
  if (entries.length > 0) object.metadata["managedFields"] = entries;
  else delete object.metadata["managedFields"];
}

/** The part of an object that has owners: not its identity, not what the server sets. */
export function ownable(resource: Resource, object: KubeObject, subresource: string): JsonObject {
  if (subresource === "status") return object["status"] === undefined ? {} : { status: object["status"] };
  const { apiVersion: _version, kind: _kind, metadata, ...rest } = object;
  const { labels, annotations, finalizers, ownerReferences } = metadata;
  const meta: JsonObject = {};
  for (const [name, value] of Object.entries({ labels, annotations, finalizers, ownerReferences })) {
    if (value !== undefined && !(isObject(value) && Object.keys(value).length === 0)) meta[name] = value;
  }
  if (resource.status) delete rest["status"];
  return Object.keys(meta).length > 0 ? { metadata: meta, ...rest } : rest;
}

export interface TrackOptions {
  readonly manager?: string;
  readonly subresource?: string | undefined;
}

/** Notes in the draft's managedFields who last wrote which field, for a create or update (not for an apply). */
export function trackWrite(
  resource: Resource,
  old: KubeObject | undefined,
  draft: KubeObject,
  options: TrackOptions,
): void {
  const sent = draft.metadata["managedFields"];
  // A client that sends an empty list asks for a clean slate; one that sends its own keeps it.
  const managers = managersOf(sent === undefined ? old : draft);
  if (!options.manager) {
    setManagers(draft, managers);
    return;
  }
  const subresource = options.subresource ?? "";
  const next = ownable(resource, draft, subresource);
  const changed = changedFields(resource.schema, next, old ? ownable(resource, old, subresource) : {});
  const present = fieldsOf(resource.schema, {
    ...ownable(resource, draft, ""),
    ...ownable(resource, draft, "status"),
  });
  let mine: FieldSet = changed;
  const others: Manager[] = [];
  for (const manager of managers) {
    const { fields } = manager;
    const isMine =
      manager.manager === options.manager &&
      manager.operation === "Update" &&
      manager.subresource === subresource;
    const left = intersect(isMine ? fields : subtract(fields, changed), present);
    if (isMine) mine = union(left, mine);
    else others.push({ ...manager, fields: left });
  }
  const entry = {
    manager: options.manager,
    operation: "Update",
    subresource,
    apiVersion: apiVersionOf(resource),
  } as const;
  const before = managers.find(
    (m) => m.manager === entry.manager && m.operation === "Update" && m.subresource === subresource,
  );
  const time = isEmpty(changed) && before ? before.time : now();
  setManagers(draft, [...others, { ...entry, time, fields: mine }]);
}
