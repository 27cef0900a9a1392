// SPDX-License-Identifier: Apache-2.0
import { type Cluster, kinds } from "../cluster.ts";
import {
  controllerOf,
  objectKey,
  type Pod,
  podIsReady,
  type ReplicaSet,
  selectorMatches,
} from "../objects.ts";
import { isActive, ownedBy, ownerKey, ownerReference, podFromTemplate } from "./owned-pods.ts";
import { type QueueOptions, startQueue } from "./queue.ts";

const AT_ONCE = 50;

/** Keeps the number of pods of every ReplicaSet. */
export function startReplicaSets(cluster: Cluster, deps: Pick<QueueOptions, "log" | "signal">): void {
  const sets = cluster.cache(kinds.replicaSet);
  const pods = cluster.cache(kinds.pod);
  const queue = startQueue({ ...deps, name: "replicaset", reconcile: (key) => reconcile(cluster, key) });
  sets.onChange(({ object, type }) => {
    if (type === "put") queue.add(objectKey(object.metadata));
  });
  pods.onChange(({ object, before }) => {
    for (const pod of [object, before]) {
      const key = pod && ownerKey(pod, "ReplicaSet");
      if (key) queue.add(key);
    }
    if (controllerOf(object)) return;
    for (const set of sets.all()) if (matches(set, object)) queue.add(objectKey(set.metadata));
  });
  for (const set of sets.all()) queue.add(objectKey(set.metadata));
}

function matches(set: ReplicaSet, pod: Pod): boolean {
  return (
    set.metadata.namespace === pod.metadata.namespace &&
    selectorMatches(set.spec.selector, pod.metadata.labels)
  );
}

async function reconcile(cluster: Cluster, key: string): Promise<undefined> {
  const set = cluster.cache(kinds.replicaSet).get(key);
  if (!set || set.metadata.deletionTimestamp) return;
  await adoptAndRelease(cluster, set);
  const active = ownedBy(cluster.cache(kinds.pod), set).filter(isActive);
  const missing = (set.spec.replicas ?? 1) - active.length;
  if (missing > 0) {
    const batch = Array.from({ length: Math.min(missing, AT_ONCE) }, () =>
      podFromTemplate(set, set.spec.template),
    );
    await Promise.all(batch.map((pod) => cluster.create(kinds.pod, pod)));
  } else if (missing < 0) {
    const surplus = active.sort(byWorth).slice(0, -missing);
    await Promise.all(surplus.map((pod) => cluster.remove(kinds.pod, pod)));
  }
  await writeStatus(cluster, key);
}

/** A matching pod without a controller becomes ours, one whose labels no longer match is let go. */
async function adoptAndRelease(cluster: Cluster, set: ReplicaSet): Promise<void> {
  for (const pod of cluster.cache(kinds.pod).all()) {
    if (pod.metadata.namespace !== set.metadata.namespace || !isActive(pod)) continue;
    const owner = controllerOf(pod);
    const match = matches(set, pod);
    const others = (pod.metadata.ownerReferences ?? []).filter(
      (reference) => reference.uid !== set.metadata.uid,
    );
    if (match && !owner) {
      await cluster.update(kinds.pod, {
        ...pod,
        metadata: { ...pod.metadata, ownerReferences: [...others, ownerReference(set)] },
      });
    } else if (!match && owner?.uid === set.metadata.uid) {
      await cluster.update(kinds.pod, { ...pod, metadata: { ...pod.metadata, ownerReferences: others } });
    }
  }
}

/** First to go: without a node, not running, not ready, youngest. */
function byWorth(a: Pod, b: Pod): number {
  const worth = (pod: Pod) =>
    (pod.spec.nodeName ? 4 : 0) + (pod.status?.phase === "Running" ? 2 : 0) + (podIsReady(pod) ? 1 : 0);
  return (
    worth(a) - worth(b) ||
    ((a.metadata.creationTimestamp ?? "") > (b.metadata.creationTimestamp ?? "") ? -1 : 1)
  );
}

async function writeStatus(cluster: Cluster, key: string): Promise<void> {
  const set = cluster.cache(kinds.replicaSet).get(key);
  if (!set) return;
  const active = ownedBy(cluster.cache(kinds.pod), set).filter(isActive);
  const ready = active.filter(podIsReady).length;
  const status = {
    replicas: active.length,
    fullyLabeledReplicas: active.length,
    readyReplicas: ready,
    availableReplicas: ready,
    observedGeneration: set.metadata.generation ?? 1,
  };
  const before = set.status ?? {};
  if (Object.entries(status).every(([name, value]) => before[name as keyof typeof status] === value)) return;
  await cluster.updateStatus(kinds.replicaSet, { ...set, status: { ...before, ...status } });
}
