// SPDX-License-Identifier: Apache-2.0

import type { KubeObject } from "./object.ts";
import { foregroundFinalizer, orphanFinalizer, removeObject } from "./remove.ts";
import type { Catalog, Resource } from "./resource.ts";
import { objectKey, type Store, type StoreEvent } from "./store.ts";

/** Which object, by kind and key. */
interface Reference {
  readonly kind: string;
  readonly key: string;
}

/**
 * The garbage collector and the namespace controller: deletes what is owned by objects that are gone, works off the
 * finalizers `foregroundDeletion` and `orphan`, and empties namespaces being deleted. Runs after the write that gives it
 * work, not inside it. Returns the way to stop it.
 */
export function startGarbageCollector(store: Store, catalog: Catalog): () => void {
  const state: State = {
    store,
    catalog,
    dependents: new Map(),
    uids: new Map(),
    queue: [],
    namespaces: new Set(),
    scheduled: false,
    stopped: false,
  };
  const stop = store.listenAll((kind, event) => observe(state, kind, event));
  return () => {
    state.stopped = true;
    stop();
  };
}

interface State {
  readonly store: Store;
  readonly catalog: Catalog;
  /** uid of an owner → what names it as owner. */
  readonly dependents: Map<string, Map<string, Reference>>;
  /** uid of each living object → where it is. */
  readonly uids: Map<string, Reference>;
  queue: (() => void)[];
  /** Namespaces that lost an object: looked at once after the queue, not once per object. */
  readonly namespaces: Set<string>;
  scheduled: boolean;
  stopped: boolean;
}

function observe(state: State, kind: string, event: StoreEvent): void {
  const { object, previous, key } = event;
  const reference = { kind, key };
  const id = `${kind}:${key}`;
  for (const owner of previous?.metadata.ownerReferences ?? []) state.dependents.get(owner.uid)?.delete(id);
  const uid = object.metadata.uid ?? "";
  if (event.type === "DELETED") {
    state.uids.delete(uid);
    enqueue(state, () => ownerGone(state, uid));
    for (const owner of object.metadata.ownerReferences ?? [])
      enqueue(state, () => workFinalizers(state, state.uids.get(owner.uid)));
    if (object.metadata.namespace) lookAt(state, object.metadata.namespace);
    return;
  }
  state.uids.set(uid, reference);
  for (const owner of object.metadata.ownerReferences ?? []) {
    if (!state.dependents.has(owner.uid)) state.dependents.set(owner.uid, new Map());
    state.dependents.get(owner.uid)!.set(id, reference);
  }
  if (object.metadata.ownerReferences?.some((owner) => !state.uids.has(owner.uid)))
    enqueue(state, () => collect(state, reference));
  if (!object.metadata.deletionTimestamp) return;
  if (kind === "/namespaces") lookAt(state, object.metadata.name);
  else enqueue(state, () => workFinalizers(state, reference));
}

function lookAt(state: State, namespace: string): void {
  if (!state.store.get("/namespaces", objectKey(undefined, namespace))?.metadata.deletionTimestamp) return;
  state.namespaces.add(namespace);
  schedule(state);
}

function enqueue(state: State, work: () => void): void {
  state.queue.push(work);
  schedule(state);
}

function schedule(state: State): void {
  if (state.scheduled) return;
  state.scheduled = true;
  setImmediate(() => {
    state.scheduled = false;
    const works = state.queue;
    state.queue = [];
    for (const next of works) if (!state.stopped) next();
    const namespaces = [...state.namespaces];
    state.namespaces.clear();
    for (const namespace of namespaces) if (!state.stopped) emptyNamespace(state, namespace);
  });
}

function ownerGone(state: State, uid: string): void {
  const owned = state.dependents.get(uid);
  state.dependents.delete(uid);
  for (const reference of owned?.values() ?? []) collect(state, reference);
}

/** Deletes an object none of whose owners lives; one that has another owner left just loses the reference. */
function collect(state: State, reference: Reference): void {
  const object = state.store.get(reference.kind, reference.key);
  const owners = object?.metadata.ownerReferences ?? [];
  if (!object || owners.length === 0) return;
  const living = owners.filter((owner) => state.uids.has(owner.uid));
  if (living.length === 0) remove(state, reference, object);
  else if (living.length < owners.length) setOwners(state, reference, object, living);
}

function setOwners(
  state: State,
  reference: Reference,
  object: KubeObject,
  owners: NonNullable<KubeObject["metadata"]["ownerReferences"]>,
): void {
  const metadata = { ...object.metadata, ownerReferences: owners };
  if (owners.length === 0) delete (metadata as { ownerReferences?: unknown }).ownerReferences;
  state.store.put(reference.kind, reference.key, { ...object, metadata });
}

function remove(
  state: State,
  reference: Reference,
  object: KubeObject,
  propagationPolicy = "Background",
): void {
  const resource = resourceOf(state, reference.kind);
  if (!resource) return;
  const { name, namespace } = object.metadata;
  removeObject(state.store, { resource, namespace, name }, { propagationPolicy });
}

function resourceOf(state: State, storage: string): Resource | undefined {
  return state.catalog.all().find((resource) => resource.storage === storage);
}

function workFinalizers(state: State, reference: Reference | undefined): void {
  if (!reference) return;
  const object = state.store.get(reference.kind, reference.key);
  if (!object?.metadata.deletionTimestamp) return;
  const finalizers = object.metadata.finalizers ?? [];
  const owned = [...(state.dependents.get(object.metadata.uid ?? "")?.values() ?? [])];
  if (finalizers.includes(orphanFinalizer)) {
    for (const dependent of owned) {
      const child = state.store.get(dependent.kind, dependent.key);
      const kept =
        child?.metadata.ownerReferences?.filter((owner) => owner.uid !== object.metadata.uid) ?? [];
      if (child) setOwners(state, dependent, child, kept);
    }
    dropFinalizer(state, reference, object, orphanFinalizer);
  } else if (finalizers.includes(foregroundFinalizer)) {
    if (owned.length === 0) dropFinalizer(state, reference, object, foregroundFinalizer);
    for (const dependent of owned) {
      const child = state.store.get(dependent.kind, dependent.key);
      if (child && !child.metadata.deletionTimestamp) remove(state, dependent, child, "Foreground");
    }
  }
}

function dropFinalizer(state: State, reference: Reference, object: KubeObject, finalizer: string): void {
  const finalizers = (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
  const next: KubeObject = { ...object, metadata: { ...object.metadata, finalizers } };
  state.store.put(reference.kind, reference.key, next);
  if (finalizers.length === 0 && !object.metadata.deletionGracePeriodSeconds)
    state.store.remove(reference.kind, reference.key);
}

/** Deletes what is in a namespace being deleted; the namespace itself when nothing is left. */
function emptyNamespace(state: State, name: string): void {
  const { store, catalog } = state;
  const key = objectKey(undefined, name);
  const namespace = store.get("/namespaces", key);
  if (!namespace?.metadata.deletionTimestamp) return;
  const seen = new Set<string>();
  let left = 0;
  for (const resource of catalog.all()) {
    if (!resource.namespaced || resource.review || seen.has(resource.storage)) continue;
    seen.add(resource.storage);
    for (const object of store.list(resource.storage, name)) {
      if (!object.metadata.deletionTimestamp)
        removeObject(store, { resource, namespace: name, name: object.metadata.name });
      if (store.get(resource.storage, objectKey(name, object.metadata.name))) left++;
    }
  }
  if (left === 0 && (namespace.metadata.finalizers ?? []).length === 0) store.remove("/namespaces", key);
}
