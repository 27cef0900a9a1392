// SPDX-License-Identifier: Apache-2.0
import { ensureObject, isObject, type JsonObject, type KubeObject, setDefault } from "../object.ts";
import { defaultPodSpec } from "./pod.ts";

function defaultTemplate(spec: JsonObject): void {
  const template = ensureObject(spec, "template");
  ensureObject(template, "metadata");
  const podSpec = template["spec"];
  if (isObject(podSpec)) defaultPodSpec(podSpec);
}

export function defaultDeployment(draft: KubeObject): void {
  const spec = ensureObject(draft, "spec");
  setDefault(spec, "replicas", 1);
  setDefault(spec, "revisionHistoryLimit", 10);
  setDefault(spec, "progressDeadlineSeconds", 600);
  const strategy = ensureObject(spec, "strategy");
  setDefault(strategy, "type", "RollingUpdate");
  if (strategy["type"] === "RollingUpdate") {
    const rolling = ensureObject(strategy, "rollingUpdate");
    setDefault(rolling, "maxUnavailable", "25%");
    setDefault(rolling, "maxSurge", "25%");
  }
  defaultTemplate(spec);
}

export function defaultReplicaSet(draft: KubeObject): void {
  const spec = ensureObject(draft, "spec");
  setDefault(spec, "replicas", 1);
  defaultTemplate(spec);
}

/** A ReplicationController's selector is the template's labels unless given. */
export function defaultReplicationController(draft: KubeObject): void {
  defaultReplicaSet(draft);
  const spec = ensureObject(draft, "spec");
  const labels = ensureObject(ensureObject(spec, "template"), "metadata")["labels"];
  if (isObject(labels)) setDefault(spec, "selector", { ...labels });
}

export function defaultDaemonSet(draft: KubeObject): void {
  const spec = ensureObject(draft, "spec");
  setDefault(spec, "revisionHistoryLimit", 10);
  const strategy = ensureObject(spec, "updateStrategy");
  setDefault(strategy, "type", "RollingUpdate");
  if (strategy["type"] === "RollingUpdate") {
    const rolling = ensureObject(strategy, "rollingUpdate");
    setDefault(rolling, "maxUnavailable", 1);
    setDefault(rolling, "maxSurge", 0);
  }
  defaultTemplate(spec);
}

export function defaultStatefulSet(draft: KubeObject): void {
  const spec = ensureObject(draft, "spec");
  setDefault(spec, "replicas", 1);
  setDefault(spec, "revisionHistoryLimit", 10);
  setDefault(spec, "podManagementPolicy", "OrderedReady");
  setDefault(spec, "persistentVolumeClaimRetentionPolicy", { whenDeleted: "Retain", whenScaled: "Retain" });
  const strategy = ensureObject(spec, "updateStrategy");
  setDefault(strategy, "type", "RollingUpdate");
  if (strategy["type"] === "RollingUpdate")
    setDefault(ensureObject(strategy, "rollingUpdate"), "partition", 0);
  defaultTemplate(spec);
}

export function defaultJob(draft: KubeObject): void {
  defaultJobSpec(ensureObject(draft, "spec"));
}

function defaultJobSpec(spec: JsonObject): void {
  if (spec["parallelism"] === undefined) setDefault(spec, "completions", 1);
  setDefault(spec, "parallelism", 1);
  setDefault(spec, "backoffLimit", 6);
  setDefault(spec, "completionMode", "NonIndexed");
  setDefault(spec, "suspend", false);
  setDefault(spec, "manualSelector", false);
  setDefault(spec, "podReplacementPolicy", "TerminatingOrFailed");
  defaultTemplate(spec);
}

/** A Job's pods carry its uid, and it selects them by it, unless it selects by hand. */
export function startJob(draft: KubeObject): void {
  const spec = ensureObject(draft, "spec");
  if (spec["manualSelector"] === true) return;
  const { uid, name } = draft.metadata;
  const labels = ensureObject(ensureObject(ensureObject(spec, "template"), "metadata"), "labels");
  Object.assign(labels, { "batch.kubernetes.io/controller-uid": uid, "controller-uid": uid });
  Object.assign(labels, { "batch.kubernetes.io/job-name": name, "job-name": name });
  setDefault(spec, "selector", { matchLabels: { "batch.kubernetes.io/controller-uid": uid } });
}

export function defaultCronJob(draft: KubeObject): void {
  const spec = ensureObject(draft, "spec");
  setDefault(spec, "concurrencyPolicy", "Allow");
  setDefault(spec, "suspend", false);
  setDefault(spec, "successfulJobsHistoryLimit", 3);
  setDefault(spec, "failedJobsHistoryLimit", 1);
  const job = ensureObject(ensureObject(spec, "jobTemplate"), "spec");
  defaultTemplate(job);
}
