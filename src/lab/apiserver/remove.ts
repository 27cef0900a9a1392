// SPDX-License-Identifier: Apache-2.0
import { conflict } from "./errors.ts";
import { type JsonObject, type KubeObject, now, numberAt, objectAt, stringAt } from "./object.ts";
import { objectKey, type Store } from "./store.ts";
import { getObject, type Target } from "./write.ts";

/** `DeleteOptions` as sent in the body or the query. */
export interface DeleteOptions {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: string | undefined;
  readonly preconditions?: JsonObject | undefined;
  readonly dryRun?: boolean;
}

export interface Removal {
  readonly object: KubeObject;
  /** False when finalizers, a grace period or a namespace's content still hold the object. */
  readonly gone: boolean;
}

/** Finalizers the garbage collector works off. */
export const foregroundFinalizer = "foregroundDeletion";
export const orphanFinalizer = "orphan";

/**
 * Deletes an object, or marks it for deletion when something must happen first: a finalizer, a pod's grace period
 * (the kubelet then deletes with grace 0), a namespace's content.
 * @throws ApiError 404, 409 when a precondition does not hold.
 */
export function removeObject(store: Store, target: Target, options: DeleteOptions = {}): Removal {
  const { resource, name } = target;
  const object = getObject(store, target);
  checkPreconditions(target, object, options);
  const key = objectKey(target.namespace, name);
  const metadata = { ...object.metadata };
  const finalizers = finalizersFor(object, options.propagationPolicy);
  if (finalizers.length > 0) metadata.finalizers = finalizers;
  const graceSeconds = resource.storage === "/pods" ? podGraceSeconds(object, options.gracePeriodSeconds) : 0;
  const held = finalizers.length > 0 || graceSeconds > 0 || resource.storage === "/namespaces";
  if (!held) {
    if (options.dryRun) return { object, gone: true };
    return { object: store.remove(resource.storage, key) ?? object, gone: true };
  }
  const already = object.metadata.deletionTimestamp !== undefined;
  if (
    already &&
    graceSeconds >= (object.metadata.deletionGracePeriodSeconds ?? 0) &&
    sameList(object, finalizers)
  ) {
    return { object, gone: false };
  }
  metadata.deletionTimestamp =
    already && graceSeconds > 0 ? object.metadata.deletionTimestamp! : after(graceSeconds);
  metadata.deletionGracePeriodSeconds = graceSeconds;
  if (!already && metadata.generation !== undefined) metadata.generation++;
  const draft: KubeObject = { ...object, metadata };
  if (resource.storage === "/namespaces")
    draft["status"] = { ...objectAt(object, "status"), phase: "Terminating" };
  if (options.dryRun) return { object: draft, gone: false };
  return { object: store.put(resource.storage, key, draft), gone: false };
}

function sameList(object: KubeObject, finalizers: readonly string[]): boolean {
  return (object.metadata.finalizers ?? []).join() === finalizers.join();
}

function after(seconds: number): string {
  return seconds === 0 ? now() : `${new Date(Date.now() + seconds * 1000).toISOString().slice(0, 19)}Z`;
}

function finalizersFor(object: KubeObject, policy: string | undefined): string[] {
  const kept = (object.metadata.finalizers ?? []).filter(
    (f) => f !== foregroundFinalizer && f !== orphanFinalizer,
  );
  if (policy === "Foreground") return [...kept, foregroundFinalizer];
  if (policy === "Orphan") return [...kept, orphanFinalizer];
  return policy === undefined ? (object.metadata.finalizers ?? []) : kept;
}

/** A pod that never got a node, or has ended, has nothing to wait for. */
function podGraceSeconds(pod: KubeObject, asked: number | undefined): number {
  const phase = stringAt(pod, "status", "phase");
  if (stringAt(pod, "spec", "nodeName") === "" || phase === "Failed" || phase === "Succeeded") return 0;
  return asked ?? numberAt(pod, "spec", "terminationGracePeriodSeconds");
}

function checkPreconditions(target: Target, object: KubeObject, options: DeleteOptions): void {
  const uid = stringAt(options.preconditions, "uid");
  const version = stringAt(options.preconditions, "resourceVersion");
  const { resource, name } = target;
  if (uid && uid !== object.metadata.uid) {
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${object.metadata.uid}`,
    );
  }
  if (version && version !== object.metadata.resourceVersion) {
    const text = `the ResourceVersion in the precondition (${version}) does not match the ResourceVersion in record (${object.metadata.resourceVersion})`;
    throw conflict(resource, name, `${text}. The object might have been modified`);
  }
}
