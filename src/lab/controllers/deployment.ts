// SPDX-License-Identifier: Apache-2.0
import { hash32 } from "#lib/hash.ts";
import { type Cluster, kinds } from "../cluster.ts";
import { hashSuffix } from "../name-suffix.ts";
import { type Condition, type Deployment, objectKey, type ReplicaSet, selectorMatches } from "../objects.ts";
import { canonicalJson, ownedBy, ownerKey, ownerReference } from "./owned-pods.ts";
import { type QueueOptions, startQueue } from "./queue.ts";

const HASH_LABEL = "pod-template-hash";
const REVISION = "deployment.kubernetes.io/revision";

/** Deployments → ReplicaSets: rolling update within maxSurge and maxUnavailable, or Recreate. */
export function startDeployments(cluster: Cluster, deps: Pick<QueueOptions, "log" | "signal">): void {
  const deployments = cluster.cache(kinds.deployment);
  const queue = startQueue({ ...deps, name: "deployment", reconcile: (key) => reconcile(cluster, key) });
  deployments.onChange(({ object, type }) => {
    if (type === "put") queue.add(objectKey(object.metadata));
  });
  cluster.cache(kinds.replicaSet).onChange(({ object }) => {
    const key = ownerKey(object, "Deployment");
    if (key) queue.add(key);
  });
  cluster.cache(kinds.pod).onChange(({ object, type }) => {
    // Recreate waits for the last old pod to be gone.
    if (type !== "delete") return;
    for (const deployment of deployments.all()) {
      if (deployment.spec.strategy?.type !== "Recreate") continue;
      if (deployment.metadata.namespace !== object.metadata.namespace) continue;
      if (selectorMatches(deployment.spec.selector, object.metadata.labels))
        queue.add(objectKey(deployment.metadata));
    }
  });
  for (const deployment of deployments.all()) queue.add(objectKey(deployment.metadata));
}

async function reconcile(cluster: Cluster, key: string): Promise<undefined> {
  const deployment = cluster.cache(kinds.deployment).get(key);
  if (!deployment || deployment.metadata.deletionTimestamp) return;
  if (!deployment.spec.paused) {
    const current = await currentSet(cluster, deployment);
    await noteRevision(cluster, key, current);
    const others = ownedBy(cluster.cache(kinds.replicaSet), deployment).filter(
      (set) => set.metadata.uid !== current.metadata.uid,
    );
    if (deployment.spec.strategy?.type === "Recreate")
      await recreate(cluster, deployment, { current, others });
    else await roll(cluster, deployment, { current, others });
    await prune(cluster, deployment, others);
  }
  await writeStatus(cluster, key);
}

/** `kubectl rollout` reads the revision on the Deployment. */
async function noteRevision(cluster: Cluster, key: string, current: ReplicaSet): Promise<void> {
  const deployment = cluster.cache(kinds.deployment).get(key);
  const revision = current.metadata.annotations?.[REVISION];
  if (!deployment || !revision || deployment.metadata.annotations?.[REVISION] === revision) return;
  const annotations = { ...deployment.metadata.annotations, [REVISION]: revision };
  await cluster.update(kinds.deployment, {
    ...deployment,
    metadata: { ...deployment.metadata, annotations },
  });
}

interface Sets {
  readonly current: ReplicaSet;
  readonly others: readonly ReplicaSet[];
}

function templateHash(template: Deployment["spec"]["template"]): string {
  return hashSuffix(hash32(canonicalJson(template)));
}

/** The ReplicaSet of the present template, made with no replicas when there is none. */
async function currentSet(cluster: Cluster, deployment: Deployment): Promise<ReplicaSet> {
  const sets = ownedBy(cluster.cache(kinds.replicaSet), deployment);
  const hash = templateHash(deployment.spec.template);
  const revision = Math.max(0, ...sets.map((set) => Number(set.metadata.annotations?.[REVISION] ?? 0)));
  const found = sets.find((set) => set.metadata.labels?.[HASH_LABEL] === hash);
  if (found) {
    if (Number(found.metadata.annotations?.[REVISION] ?? 0) === revision) return found;
    return await cluster.update(kinds.replicaSet, {
      ...found,
      metadata: {
        ...found.metadata,
        annotations: { ...found.metadata.annotations, [REVISION]: String(revision + 1) },
      },
    });
  }
  const labels = { ...deployment.spec.template.metadata?.labels, [HASH_LABEL]: hash };
  return await cluster.create(kinds.replicaSet, {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace ?? "default",
      labels,
      annotations: { [REVISION]: String(revision + 1) },
      ownerReferences: [ownerReference(deployment)],
    },
    spec: {
      replicas: 0,
      selector: {
        ...deployment.spec.selector,
        matchLabels: { ...deployment.spec.selector.matchLabels, [HASH_LABEL]: hash },
      },
      template: {
        ...deployment.spec.template,
        metadata: { ...deployment.spec.template.metadata, labels },
      },
    },
  });
}

function replicas(set: ReplicaSet): number {
  return set.spec.replicas ?? 1;
}

async function scale(cluster: Cluster, set: ReplicaSet, to: number): Promise<void> {
  if (replicas(set) === to) return;
  await cluster.update(kinds.replicaSet, { ...set, spec: { ...set.spec, replicas: to } });
}

/** A count, or a percentage of the replicas, rounded up for surge and down for unavailable. */
function amount(value: number | string | undefined, total: number, up: boolean): number {
  const given = value ?? "25%";
  if (typeof given === "number") return given;
  const share = (Number.parseFloat(given) / 100) * total;
  return up ? Math.ceil(share) : Math.floor(share);
}

async function roll(cluster: Cluster, deployment: Deployment, { current, others }: Sets): Promise<void> {
  const wanted = deployment.spec.replicas ?? 1;
  const limits = deployment.spec.strategy?.rollingUpdate;
  const surge = amount(limits?.maxSurge, wanted, true);
  const unavailable = Math.max(surge === 0 ? 1 : 0, amount(limits?.maxUnavailable, wanted, false));
  const old = others.reduce((sum, set) => sum + replicas(set), 0);
  const room = Math.max(replicas(current), wanted + surge - old);
  await scale(cluster, current, Math.min(wanted, room));
  if (old === 0) return;
  // What may go: unhealthy old pods at once, healthy ones while enough are available.
  const available = [current, ...others].reduce((sum, set) => sum + (set.status?.availableReplicas ?? 0), 0);
  let spare = available - (wanted - unavailable);
  for (const set of others) {
    const healthy = set.status?.availableReplicas ?? 0;
    const unhealthy = Math.max(0, replicas(set) - healthy);
    const down = Math.min(replicas(set), unhealthy + Math.max(0, Math.min(spare, healthy)));
    if (down === 0) continue;
    spare -= Math.max(0, down - unhealthy);
    await scale(cluster, set, replicas(set) - down);
  }
}

async function recreate(cluster: Cluster, deployment: Deployment, { current, others }: Sets): Promise<void> {
  for (const set of others) await scale(cluster, set, 0);
  const uids = new Set(others.map((set) => set.metadata.uid));
  for (const pod of cluster.cache(kinds.pod).all()) {
    if (pod.metadata.ownerReferences?.some((owner) => uids.has(owner.uid))) return;
  }
  await scale(cluster, current, deployment.spec.replicas ?? 1);
}

async function prune(cluster: Cluster, deployment: Deployment, others: readonly ReplicaSet[]): Promise<void> {
  const empty = others.filter((set) => replicas(set) === 0 && (set.status?.replicas ?? 0) === 0);
  const surplus = empty.length - (deployment.spec.revisionHistoryLimit ?? 10);
  for (const set of empty.slice(0, Math.max(0, surplus))) await cluster.remove(kinds.replicaSet, set);
}

async function writeStatus(cluster: Cluster, key: string): Promise<void> {
  const deployment = cluster.cache(kinds.deployment).get(key);
  if (!deployment) return;
  const sets = ownedBy(cluster.cache(kinds.replicaSet), deployment);
  const hash = templateHash(deployment.spec.template);
  const sum = (field: "replicas" | "readyReplicas" | "availableReplicas") =>
    sets.reduce((total, set) => total + (set.status?.[field] ?? 0), 0);
  const wanted = deployment.spec.replicas ?? 1;
  const current = sets.find((set) => set.metadata.labels?.[HASH_LABEL] === hash);
  const [total, ready, available] = [sum("replicas"), sum("readyReplicas"), sum("availableReplicas")];
  const updated = current?.status?.replicas ?? 0;
  const done = updated >= wanted && total === updated && available >= wanted;
  const minimum = wanted - amount(deployment.spec.strategy?.rollingUpdate?.maxUnavailable, wanted, false);
  const conditions = [
    available >= minimum
      ? condition("Available", true, "MinimumReplicasAvailable", "Deployment has minimum availability.")
      : condition(
          "Available",
          false,
          "MinimumReplicasUnavailable",
          "Deployment does not have minimum availability.",
        ),
    done
      ? condition(
          "Progressing",
          true,
          "NewReplicaSetAvailable",
          `ReplicaSet "${current?.metadata.name}" has successfully progressed.`,
        )
      : condition(
          "Progressing",
          true,
          "ReplicaSetUpdated",
          `ReplicaSet "${current?.metadata.name}" is progressing.`,
        ),
  ].map((next) => keepTime(next, deployment.status?.conditions));
  const status = {
    observedGeneration: deployment.metadata.generation ?? 1,
    replicas: total,
    updatedReplicas: updated,
    readyReplicas: ready,
    availableReplicas: available,
    unavailableReplicas: Math.max(0, wanted - available),
    conditions,
  };
  if (canonicalJson(status) === canonicalJson(deployment.status ?? {})) return;
  await cluster.updateStatus(kinds.deployment, { ...deployment, status });
}

function condition(type: string, isTrue: boolean, reason: string, message: string): Condition {
  return { type, status: isTrue ? "True" : "False", reason, message };
}

/** Times of a condition change with its status only; an unchanged condition is written back as it was. */
function keepTime(next: Condition, before: readonly Condition[] | undefined): Condition {
  const old = before?.find((one) => one.type === next.type);
  if (old && old.status === next.status && old.reason === next.reason && old.message === next.message)
    return old;
  const now = new Date().toISOString();
  return {
    ...next,
    lastUpdateTime: now,
    lastTransitionTime: old?.status === next.status ? (old.lastTransitionTime ?? now) : now,
  };
}
