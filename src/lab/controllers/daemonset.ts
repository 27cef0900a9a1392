// SPDX-License-Identifier: Apache-2.0
import { hash32 } from "#lib/hash.ts";
import { type Cluster, kinds } from "../cluster.ts";
import { hashSuffix } from "../name-suffix.ts";
import { type DaemonSet, objectKey, type Pod, podIsReady } from "../objects.ts";
import { canonicalJson, isActive, ownedBy, ownerKey, podFromTemplate } from "./owned-pods.ts";
import { type QueueOptions, startQueue } from "./queue.ts";
import { selects, tolerates } from "./scheduler.ts";

const HASH_LABEL = "controller-revision-hash";

/** One pod of each DaemonSet on every node its template selects; an outdated one is replaced, node by node. */
export function startDaemonSets(cluster: Cluster, deps: Pick<QueueOptions, "log" | "signal">): void {
  const sets = cluster.cache(kinds.daemonSet);
  const queue = startQueue({ ...deps, name: "daemonset", reconcile: (key) => reconcile(cluster, key) });
  const all = () => {
    for (const set of sets.all()) queue.add(objectKey(set.metadata));
  };
  sets.onChange(({ object, type }) => {
    if (type === "put") queue.add(objectKey(object.metadata));
  });
  cluster.cache(kinds.pod).onChange(({ object }) => {
    const key = ownerKey(object, "DaemonSet");
    if (key) queue.add(key);
  });
  cluster.cache(kinds.node).onChange(({ type, before }) => {
    if (type === "delete" || !before) all();
  });
  all();
}

async function reconcile(cluster: Cluster, key: string): Promise<undefined> {
  const set = cluster.cache(kinds.daemonSet).get(key);
  if (!set || set.metadata.deletionTimestamp) return;
  const hash = hashSuffix(hash32(canonicalJson(set.spec.template)));
  const template = podFromTemplate(set, set.spec.template);
  const nodes = [...cluster.cache(kinds.node).all()].filter(
    (node) => selects(template, node) && tolerates(template, node),
  );
  const mine = ownedBy(cluster.cache(kinds.pod), set).filter(isActive);
  const wanted = new Set(nodes.map((node) => node.metadata.name));
  const keep = new Set<string>();
  let replacing = mine.some((pod) => !podIsReady(pod));
  for (const pod of mine) {
    const node = pod.spec.nodeName ?? "";
    const outdated = pod.metadata.labels?.[HASH_LABEL] !== hash;
    if (!wanted.has(node) || keep.has(node) || (outdated && !replacing)) {
      if (outdated) replacing = true;
      await cluster.remove(kinds.pod, pod);
    }
    keep.add(node);
  }
  for (const node of wanted) {
    if (keep.has(node)) continue;
    const pod = podFromTemplate(set, set.spec.template);
    pod.metadata.labels = { ...pod.metadata.labels, [HASH_LABEL]: hash };
    pod.spec.nodeName = node;
    await cluster.create(kinds.pod, pod);
  }
  await writeStatus(cluster, key, { hash, wanted: wanted.size });
}

async function writeStatus(
  cluster: Cluster,
  key: string,
  { hash, wanted }: { hash: string; wanted: number },
): Promise<void> {
  const set: DaemonSet | undefined = cluster.cache(kinds.daemonSet).get(key);
  if (!set) return;
  const pods: Pod[] = ownedBy(cluster.cache(kinds.pod), set).filter(isActive);
  const ready = pods.filter(podIsReady).length;
  const status = {
    currentNumberScheduled: pods.length,
    desiredNumberScheduled: wanted,
    numberAvailable: ready,
    numberMisscheduled: 0,
    numberReady: ready,
    numberUnavailable: Math.max(0, wanted - ready),
    observedGeneration: set.metadata.generation ?? 1,
    updatedNumberScheduled: pods.filter((pod) => pod.metadata.labels?.[HASH_LABEL] === hash).length,
  };
  if (canonicalJson(status) === canonicalJson(set.status ?? {})) return;
  await cluster.updateStatus(kinds.daemonSet, { ...set, status });
}
