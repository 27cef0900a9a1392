// SPDX-License-Identifier: Apache-2.0
import { type Cluster, type Kind, kinds } from "../cluster.ts";
import type { KubeObject } from "../objects.ts";
import { type QueueOptions, startQueue } from "./queue.ts";

const dependents: readonly Kind<KubeObject>[] = [
  kinds.replicaSet,
  kinds.pod,
  kinds.job,
  kinds.endpointSlice,
  kinds.configMap,
  kinds.secret,
  kinds.service,
];
const owners: readonly Kind<KubeObject>[] = [
  kinds.deployment,
  kinds.replicaSet,
  kinds.statefulSet,
  kinds.daemonSet,
  kinds.job,
  kinds.service,
  kinds.pod,
  kinds.node,
];

/** Deletes what an owner leaves behind. Owners of kinds that are not in `owners` are never taken for gone. */
export function startGarbageCollector(cluster: Cluster, deps: Pick<QueueOptions, "log" | "signal">): void {
  const gone = new Set<string>();
  const queue = startQueue({
    ...deps,
    name: "garbage",
    async reconcile(uid) {
      for (const kind of dependents) {
        for (const object of cluster.cache(kind).all()) {
          const references = object.metadata.ownerReferences ?? [];
          if (!references.some((owner) => owner.uid === uid)) continue;
          if (references.every((owner) => gone.has(owner.uid))) await cluster.remove(kind, object);
        }
      }
      return undefined;
    },
  });
  for (const kind of owners) {
    cluster.cache(kind).onChange(({ type, object }) => {
      const uid = object.metadata.uid;
      if (type !== "delete" || uid === undefined) return;
      gone.add(uid);
      queue.add(uid);
      // A child made in the same moment is found by the second look; after it the uid can be forgotten.
      queue.addAfter(uid, 2_000);
      setTimeout(() => gone.delete(uid), 10_000).unref();
    });
  }
}
