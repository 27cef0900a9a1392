// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { randomSuffix } from "../name-suffix.ts";
import { checkIdentity, checkNamespace, checkObject, hasGeneration, isSpecChange } from "./admit.ts";
import { alreadyExists, badRequest, conflict, notFound } from "./errors.ts";
import { trackWrite } from "./managed/track.ts";
import { clone, type KubeObject, listAt, now, type ObjectMeta, same, stringAt } from "./object.ts";
import { inVersion, type Resource } from "./resource.ts";
import { objectKey, type Store } from "./store.ts";

/** Which object of which kind a request is about. */
export interface Target {
  readonly resource: Resource;
  /** undefined for cluster-scoped kinds. */
  readonly namespace: string | undefined;
  readonly name: string;
}

export interface WriteOptions {
  /** Do everything but store. */
  readonly dryRun?: boolean;
  /** Who writes, for managedFields; "" or absent leaves no entry. */
  readonly manager?: string;
  /** Only this part of the object is written: `status`. */
  readonly subresource?: "status" | undefined;
  /** managedFields are already in the draft: a server-side apply made them. */
  readonly applied?: boolean;
}

export function findObject(store: Store, target: Target): KubeObject | undefined {
  return store.get(target.resource.storage, objectKey(target.namespace, target.name));
}

/** @throws ApiError 404. */
export function getObject(store: Store, target: Target): KubeObject {
  const object = findObject(store, target);
  if (!object) throw notFound(target.resource, target.name);
  return object;
}

/**
 * Stores a new object, already decoded; the caller's stays as it is.
 * @throws ApiError 400, 404 (no such namespace), 409 (already there), 422 (invalid).
 */
export function createObject(
  store: Store,
  target: Omit<Target, "name">,
  wanted: KubeObject,
  options: WriteOptions = {},
): KubeObject {
  const body = clone(wanted);
  const { resource, namespace } = target;
  const meta = checkIdentity(target, body);
  if (!meta.name && stringAt(meta, "generateName"))
    meta.name = stringAt(meta, "generateName").slice(0, 58) + randomSuffix();
  if (meta.resourceVersion) throw badRequest("resourceVersion should not be set on objects to be created");
  checkNamespace(store, resource, namespace, meta.name);
  if (store.get(resource.storage, objectKey(namespace, meta.name))) throw alreadyExists(resource, meta.name);
  for (const name of ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"]) delete meta[name];
  Object.assign(meta, { uid: randomUUID(), creationTimestamp: now() });
  if (hasGeneration(resource)) meta.generation = 1;
  if (resource.status) delete body["status"];
  resource.defaults?.(body);
  resource.start?.(body);
  checkObject(resource, body, undefined);
  if (!options.applied) trackWrite(resource, undefined, body, options);
  if (options.dryRun) return body;
  return store.put(resource.storage, objectKey(namespace, meta.name), stored(resource, body));
}

/**
 * Replaces an object. Without a resourceVersion in the body the last write wins.
 * @throws ApiError 404, 409 (other version or uid), 422.
 */
export function updateObject(
  store: Store,
  target: Target,
  wanted: KubeObject,
  options: WriteOptions = {},
): KubeObject {
  const body = clone(wanted);
  const { resource, namespace, name } = target;
  const found = getObject(store, target);
  const old = resource.shownAs ? inVersion(resource, found) : found;
  const meta = checkIdentity(target, body);
  if (meta.name && meta.name !== name) {
    throw badRequest(`the name of the object (${meta.name}) does not match the name on the URL (${name})`);
  }
  if (meta.resourceVersion && meta.resourceVersion !== old.metadata.resourceVersion)
    throw conflict(resource, name);
  if (meta.uid && meta.uid !== old.metadata.uid) {
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${meta.uid}, UID in object meta: ${old.metadata.uid}`,
    );
  }
  const draft = merge(resource, old, body, options);
  resource.defaults?.(draft);
  // An apply may change nothing but who wants what; one that leaves that too as it was is no write.
  const compared = options.applied ? withoutTimes : withoutManagers;
  if (same(compared(draft), compared(old))) return old;
  if (hasGeneration(resource) && isSpecChange(resource, old, draft))
    draft.metadata.generation = (old.metadata.generation ?? 0) + 1;
  checkObject(resource, draft, old);
  if (!options.applied) trackWrite(resource, old, draft, options);
  if (options.dryRun) return draft;
  const finished = draft.metadata.deletionTimestamp && !draft.metadata.finalizers?.length;
  if (finished && !draft.metadata.deletionGracePeriodSeconds && resource.kind !== "Namespace") {
    store.put(resource.storage, objectKey(namespace, name), stored(resource, draft));
    return store.remove(resource.storage, objectKey(namespace, name)) ?? draft;
  }
  return same(draft, old)
    ? old
    : store.put(resource.storage, objectKey(namespace, name), stored(resource, draft));
}

function stored({ shownAs }: Resource, object: KubeObject): KubeObject {
  return shownAs ? shownAs.toStored(object) : object;
}

/** The next state of an object: what the client may set from `body`, everything else from `old`. */
function merge(resource: Resource, old: KubeObject, body: KubeObject, options: WriteOptions): KubeObject {
  if (options.subresource === "status") {
    const metadata = clone(old.metadata);
    if (body.metadata["managedFields"]) metadata["managedFields"] = body.metadata["managedFields"];
    return { ...old, metadata, status: body["status"] };
  }
  const {
    uid,
    creationTimestamp,
    deletionTimestamp,
    deletionGracePeriodSeconds,
    generation,
    resourceVersion,
  } = old.metadata;
  const metadata: ObjectMeta = { ...body.metadata, name: old.metadata.name };
  const kept = {
    uid,
    creationTimestamp,
    deletionTimestamp,
    deletionGracePeriodSeconds,
    generation,
    resourceVersion,
  };
  for (const [field, value] of Object.entries(kept)) {
    if (value === undefined) delete metadata[field];
    else metadata[field] = value;
  }
  if (old.metadata.namespace) metadata.namespace = old.metadata.namespace;
  if (old.metadata["generateName"] && !metadata["generateName"])
    metadata["generateName"] = old.metadata["generateName"];
  if (!metadata["managedFields"] && old.metadata["managedFields"])
    metadata["managedFields"] = old.metadata["managedFields"];
  const draft: KubeObject = { ...body, metadata };
  if (!resource.status) return draft;
  if (old["status"] === undefined) delete draft["status"];
  else draft["status"] = old["status"];
  return draft;
}

function withoutManagers(object: KubeObject): KubeObject {
  return { ...object, metadata: { ...object.metadata, managedFields: undefined } };
}

/** When a manager last wrote counts for nothing: of what an apply says, defaults are only known once it is merged. */
function withoutTimes(object: KubeObject): KubeObject {
  const managedFields = listAt(object.metadata, "managedFields").map((entry) => ({ ...entry, time: "" }));
  return { ...object, metadata: { ...object.metadata, managedFields } };
}
