// SPDX-License-Identifier: Apache-2.0
import { hash32 } from "#lib/hash.ts";
import { type Cluster, kinds } from "../cluster.ts";
import { hashSuffix } from "../name-suffix.ts";
import { objectKey, type Pod, podIsFinished, podIsReady, type StatefulSet } from "../objects.ts";
import { canonicalJson, ownedBy, ownerKey, podFromTemplate } from "./owned-pods.ts";
import { type QueueOptions, startQueue } from "./queue.ts";

const REVISION_LABEL = "controller-revision-hash";

/** Pods NAME-0, NAME-1, … in order, each with its host name; updates go from the highest down. */
export function startStatefulSets(cluster: Cluster, deps: Pick<QueueOptions, "log" | "signal">): void {
  const sets = cluster.cache(kinds.statefulSet);
  const queue = startQueue({ ...deps, name: "statefulset", reconcile: (key) => reconcile(cluster, key) });
  sets.onChange(({ object, type }) => {
    if (type === "put") queue.add(objectKey(object.metadata));
  });
  cluster.cache(kinds.pod).onChange(({ object }) => {
    const key = ownerKey(object, "StatefulSet");
    if (key) queue.add(key);
  });
  for (const set of sets.all()) queue.add(objectKey(set.metadata));
}

async function reconcile(cluster: Cluster, key: string): Promise<undefined> {
  const set = cluster.cache(kinds.statefulSet).get(key);
  if (!set || set.metadata.deletionTimestamp) return;
  const revision = `${set.metadata.name}-${hashSuffix(hash32(canonicalJson(set.spec.template)))}`;
  await step(cluster, set, revision);
  await writeStatus(cluster, key, revision);
}

async function step(cluster: Cluster, set: StatefulSet, revision: string): Promise<void> {
  const parallel = set.spec.podManagementPolicy === "Parallel";
  const wanted = set.spec.replicas ?? 1;
  const pods = new Map<number, Pod>();
  for (const pod of ownedBy(cluster.cache(kinds.pod), set)) pods.set(ordinal(pod), pod);
  for (let i = 0; i < wanted; i++) {
    const pod = pods.get(i);
    if (pod && podIsFinished(pod) && !pod.metadata.deletionTimestamp) await cluster.remove(kinds.pod, pod);
    else if (!pod) await cluster.create(kinds.pod, numberedPod(set, i, revision));
    if (!parallel && !(pod && podIsReady(pod))) return;
  }
  for (const i of [...pods.keys()].filter((number) => number >= wanted).sort((a, b) => b - a)) {
    const pod = pods.get(i)!;
    if (!pod.metadata.deletionTimestamp) await cluster.remove(kinds.pod, pod);
    if (!parallel) return;
  }
  for (let i = wanted - 1; i >= 0; i--) {
    const pod = pods.get(i);
    if (!pod || pod.metadata.deletionTimestamp) return;
    if (pod.metadata.labels?.[REVISION_LABEL] === revision) continue;
    await cluster.remove(kinds.pod, pod);
    return;
  }
}

function ordinal(pod: Pod): number {
  return Number(pod.metadata.name.slice(pod.metadata.name.lastIndexOf("-") + 1));
}

function numberedPod(set: StatefulSet, index: number, revision: string): Pod {
  const name = `${set.metadata.name}-${index}`;
  const pod = podFromTemplate(set, set.spec.template, name);
  pod.metadata.labels = {
    ...pod.metadata.labels,
    [REVISION_LABEL]: revision,
    "statefulset.kubernetes.io/pod-name": name,
    "apps.kubernetes.io/pod-index": String(index),
  };
  pod.spec.hostname = name;
  if (set.spec.serviceName) pod.spec.subdomain = set.spec.serviceName;
  return pod;
}

async function writeStatus(cluster: Cluster, key: string, revision: string): Promise<void> {
  const set = cluster.cache(kinds.statefulSet).get(key);
  if (!set) return;
  const pods = ownedBy(cluster.cache(kinds.pod), set).filter((pod) => !pod.metadata.deletionTimestamp);
  const ready = pods.filter(podIsReady).length;
  const updated = pods.filter((pod) => pod.metadata.labels?.[REVISION_LABEL] === revision).length;
  const done = updated === pods.length;
  const status = {
    observedGeneration: set.metadata.generation ?? 1,
    replicas: pods.length,
    readyReplicas: ready,
    availableReplicas: ready,
    currentReplicas: done ? pods.length : pods.length - updated,
    updatedReplicas: updated,
    currentRevision: done ? revision : (set.status?.currentRevision ?? revision),
    updateRevision: revision,
  };
  const before = set.status ?? {};
  if (canonicalJson(status) === canonicalJson({ ...before, conditions: undefined })) return;
  await cluster.updateStatus(kinds.statefulSet, { ...set, status: { ...before, ...status } });
}
