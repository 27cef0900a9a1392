// SPDX-License-Identifier: Apache-2.0
import type { Labels } from "#model/labels.ts";
import { type LabelFilter, usualLabels } from "./label-filter.ts";

/** What a pod's identity is made of; the prefixes are Cilium's, policies name them. */
export interface PodFacts {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly cluster: string;
}

/** The security-relevant labels of a pod, with source. */
export function securityLabels(pod: PodFacts, keeps: LabelFilter = usualLabels): Labels {
  const labels = new Map<string, string>();
  for (const [key, value] of Object.entries(pod.labels)) {
    if (keeps(key)) labels.set(`k8s:${key}`, value);
  }
  for (const [key, value] of Object.entries(pod.namespaceLabels)) {
    labels.set(`k8s:io.cilium.k8s.namespace.labels.${key}`, value);
  }
  labels.set("k8s:io.kubernetes.pod.namespace", pod.namespace);
  labels.set("k8s:io.cilium.k8s.policy.serviceaccount", pod.serviceAccount);
  labels.set("k8s:io.cilium.k8s.policy.cluster", pod.cluster);
  return labels;
}
