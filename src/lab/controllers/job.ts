// SPDX-License-Identifier: Apache-2.0
import { type Cluster, kinds } from "../cluster.ts";
import { type Condition, type Job, objectKey, podIsReady } from "../objects.ts";
import { canonicalJson, isActive, ownedBy, ownerKey, podFromTemplate } from "./owned-pods.ts";
import { type QueueOptions, startQueue } from "./queue.ts";

/** Jobs: `parallelism` pods at a time until `completions` succeeded or more than `backoffLimit` failed. */
export function startJobs(cluster: Cluster, deps: Pick<QueueOptions, "log" | "signal">): void {
  const jobs = cluster.cache(kinds.job);
  const queue = startQueue({ ...deps, name: "job", reconcile: (key) => reconcile(cluster, key) });
  jobs.onChange(({ object, type }) => {
    if (type === "put") queue.add(objectKey(object.metadata));
  });
  cluster.cache(kinds.pod).onChange(({ object }) => {
    const key = ownerKey(object, "Job");
    if (key) queue.add(key);
  });
  for (const job of jobs.all()) queue.add(objectKey(job.metadata));
}

async function reconcile(cluster: Cluster, key: string): Promise<undefined> {
  const job = cluster.cache(kinds.job).get(key);
  if (!job || job.metadata.deletionTimestamp || isDone(job)) return;
  const pods = ownedBy(cluster.cache(kinds.pod), job);
  const succeeded = pods.filter((pod) => pod.status?.phase === "Succeeded").length;
  const failed = pods.filter((pod) => pod.status?.phase === "Failed").length;
  let active = pods.filter(isActive);
  const completions = job.spec.completions ?? job.spec.parallelism ?? 1;
  const complete = succeeded >= completions;
  const broken = failed > (job.spec.backoffLimit ?? 6);
  if (complete || broken) {
    await Promise.all(active.map((pod) => cluster.remove(kinds.pod, pod)));
    active = [];
  } else {
    const wanted = Math.min(job.spec.parallelism ?? 1, completions - succeeded);
    const missing = Math.max(0, wanted - active.length);
    await Promise.all(Array.from({ length: missing }, () => cluster.create(kinds.pod, jobPod(job))));
  }
  const fresh = cluster.cache(kinds.job).get(key);
  if (!fresh) return;
  const now = new Date().toISOString();
  const status: NonNullable<Job["status"]> = {
    startTime: fresh.status?.startTime ?? now,
    active: ownedBy(cluster.cache(kinds.pod), job).filter(isActive).length,
    ready: active.filter(podIsReady).length,
    succeeded,
    failed,
    ...(complete && { completionTime: now, conditions: conditions("Complete", "CompletionsReached", now) }),
    ...(broken && !complete && { conditions: conditions("Failed", "BackoffLimitExceeded", now) }),
  };
  if (canonicalJson(status) !== canonicalJson(fresh.status ?? {})) {
    await cluster.updateStatus(kinds.job, { ...fresh, status });
  }
}

function isDone(job: Job): boolean {
  return (
    job.status?.conditions?.some(
      ({ type, status }) => (type === "Complete" || type === "Failed") && status === "True",
    ) ?? false
  );
}

function conditions(type: string, reason: string, time: string): Condition[] {
  return [{ type, status: "True", reason, lastProbeTime: time, lastTransitionTime: time }];
}

function jobPod(job: Job) {
  const pod = podFromTemplate(job, job.spec.template);
  const labels = {
    "batch.kubernetes.io/controller-uid": job.metadata.uid ?? "",
    "batch.kubernetes.io/job-name": job.metadata.name,
    "controller-uid": job.metadata.uid ?? "",
    "job-name": job.metadata.name,
  };
  pod.metadata.labels = { ...pod.metadata.labels, ...labels };
  return pod;
}
