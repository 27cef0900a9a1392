// SPDX-License-Identifier: Apache-2.0

/** Which labels of pods are part of identities, by key; `*` stands for any text. */
export interface LabelPatterns {
  /** When there are any: no other labels. */
  readonly include: readonly string[];
  /** Beside the volatile ones. */
  readonly exclude: readonly string[];
}

/** Says of a pod's label (key without source) whether identities carry it. What they do not carry can't be selected by policies. */
export type LabelFilter = (key: string) => boolean;

/** Labels that change with every rollout or name a single pod: an identity each would be one identity a pod. */
const volatileLabels: readonly string[] = [
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
];

/** What Weft itself adds to a pod's labels: namespace, service account, cluster. Always part of the identity. */
const ownLabels = /^(io\.kubernetes\.pod\.namespace$|io\.cilium\.k8s\.)/;

export function labelFilter({ include, exclude }: LabelPatterns): LabelFilter {
  const excluded = patternOf([...volatileLabels, ...exclude]);
  const included = include.length > 0 ? patternOf(include) : undefined;
  return (key) => ownLabels.test(key) || (!excluded.test(key) && (included?.test(key) ?? true));
}

export const usualLabels: LabelFilter = labelFilter({ include: [], exclude: [] });

function patternOf(patterns: readonly string[]): RegExp {
  const parts = patterns.map((text) =>
    text
      .split("*")
      .map((part) => part.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"))
      .join(".*"),
  );
  return new RegExp(`^(${parts.join("|")})$`);
}
