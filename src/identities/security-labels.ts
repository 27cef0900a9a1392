// SPDX-License-Identifier: Apache-2.0
import type { Labels } from "#model/labels.ts";

/** What a pod's identity is made of; the prefixes are Cilium's, policies name them. */
export interface PodFacts {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly cluster: string;
}

/** Labels that change with every rollout or name a single pod: an identity each would be one identity a pod. */
const volatileLabels = new Set([
  "pod-template-hash",
  "controller-revision-hash",
  "pod-template-generation",
  "statefulset.kubernetes.io/pod-name",
  "apps.kubernetes.io/pod-index",
  "batch.kubernetes.io/controller-uid",
  "batch.kubernetes.io/job-completion-index",
  "batch.kubernetes.io/job-name",
  "controller-uid",
  "job-name",
]);

/** True for a pod label (without source) that is no part of identities, so that nothing can be selected by it. */
export function isVolatileLabel(key: string): boolean {
  return volatileLabels.has(key);
}

/** The security-relevant labels of a pod, with source. */
export function securityLabels(pod: PodFacts): Labels {
  const labels = new Map<string, string>();
  for (const [key, value] of Object.entries(pod.labels)) {
    if (!volatileLabels.has(key)) labels.set(`k8s:${key}`, value);
  }
  for (const [key, value] of Object.entries(pod.namespaceLabels)) {
    labels.set(`k8s:io.cilium.k8s.namespace.labels.${key}`, value);
  }
  labels.set("k8s:io.kubernetes.pod.namespace", pod.namespace);
  labels.set("k8s:io.cilium.k8s.policy.serviceaccount", pod.serviceAccount);
  labels.set("k8s:io.cilium.k8s.policy.cluster", pod.cluster);
  return labels;
}
