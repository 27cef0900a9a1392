// SPDX-License-Identifier: Apache-2.0

import type { Cache } from "../cluster.ts";
import { randomSuffix } from "../name-suffix.ts";
import {
  controllerOf,
  type KubeObject,
  type OwnerReference,
  objectKey,
  type Pod,
  type PodTemplate,
  podIsFinished,
} from "../objects.ts";

export function ownerReference(owner: KubeObject): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Objects in the cache whose controller is `owner`, oldest first. */
export function ownedBy<T extends KubeObject>(cache: Cache<T>, owner: KubeObject): T[] {
  const uid = owner.metadata.uid;
  return [...cache.all()]
    .filter((object) => controllerOf(object)?.uid === uid)
    .sort((a, b) => ((a.metadata.creationTimestamp ?? "") < (b.metadata.creationTimestamp ?? "") ? -1 : 1));
}

export function isActive(pod: Pod): boolean {
  return !podIsFinished(pod) && !pod.metadata.deletionTimestamp;
}

/** A pod out of a workload's template. `name` undefined: the API server makes one from the owner's name. */
export function podFromTemplate(owner: KubeObject, template: PodTemplate, name?: string): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...(name === undefined ? { name: `${owner.metadata.name.slice(0, 57)}-${randomSuffix()}` } : { name }),
      namespace: owner.metadata.namespace ?? "default",
      ...(template.metadata?.labels && { labels: { ...template.metadata.labels } }),
      ...(template.metadata?.annotations && { annotations: { ...template.metadata.annotations } }),
      ownerReferences: [ownerReference(owner)],
    },
    spec: structuredClone(template.spec),
  };
}

/** JSON with sorted keys: equal values, equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** The key of the owner of this kind, to be looked at when the child changed. */
export function ownerKey(child: KubeObject, kind: string): string | undefined {
  const owner = controllerOf(child);
  if (owner?.kind !== kind) return undefined;
  return objectKey({ namespace: child.metadata.namespace, name: owner.name });
}
