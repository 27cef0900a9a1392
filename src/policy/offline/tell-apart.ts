// SPDX-License-Identifier: Apache-2.0
import { type LabelSelector, namespaceLabel, namespaceLabelsPrefix } from "../selector.ts";
import type { OfflineCluster } from "./cluster.ts";
import type { OfflinePod } from "./pods.ts";

/** Labels of the object that are part of its identity. */
export function ownLabels({ own }: OfflinePod, { settings }: OfflineCluster): Record<string, string> {
  return Object.fromEntries(Object.entries(own).filter(([key]) => settings.keepsLabel(key)));
}

/** Whether policies can't tell two pods apart by their namespace and labels. */
export function sameLabels(cluster: OfflineCluster, a: OfflinePod, b: OfflinePod): boolean {
  return a === b || equal(labelled(cluster, a), labelled(cluster, b));
}

interface Without {
  readonly pod: OfflinePod;
  /** Whom the selectors may mean. */
  readonly among: readonly OfflinePod[];
  /** Of the policy; absent: it is cluster-wide. */
  readonly namespace: string | undefined;
}

const namespaceKey = `k8s:${namespaceLabel}`;

/** Selectors of endpoints less a pod: each becomes as many as it takes to tell the pod from all others. */
export function withoutPod(
  cluster: OfflineCluster,
  selectors: readonly LabelSelector[],
  { pod, among, namespace }: Without,
): LabelSelector[] {
  const differences = differencesFrom(cluster, pod, among);
  return selectors.flatMap((selector) =>
    differences.map((one): LabelSelector => {
      const here = one.key === namespaceKey ? impliedNamespace(selector, namespace) : [];
      return { ...selector, matchExpressions: [...(selector.matchExpressions ?? []), ...here, one] };
    }),
  );
}

type Difference = NonNullable<LabelSelector["matchExpressions"]>[number];

/** What a selector that does not speak of a namespace means all the same, until it does: see `cilium-peers.ts`. */
function impliedNamespace(
  { matchLabels = {}, matchExpressions = [] }: LabelSelector,
  namespace: string | undefined,
): Difference[] {
  const keys = [...Object.keys(matchLabels), ...matchExpressions.map(({ key }) => key)];
  if (keys.some((key) => key.startsWith("reserved:") || key.endsWith(namespaceLabel))) return [];
  if (namespace === undefined) return [{ key: namespaceKey, operator: "Exists" }];
  if (keys.some((key) => key.includes(namespaceLabelsPrefix))) return [];
  return [{ key: namespaceKey, operator: "In", values: [namespace] }];
}

/** What whoever is not the pod, or like it, differs in: the fewest labels of the pod, and those that others have beside all of these. */
function differencesFrom(
  cluster: OfflineCluster,
  pod: OfflinePod,
  among: readonly OfflinePod[],
): Difference[] {
  const own = labelled(cluster, pod);
  let rivals = among.map((other) => labelled(cluster, other)).filter((other) => !equal(own, other));
  const found: Difference[] = [];
  while (found.length === 0 || rivals.length > 0) {
    const [best] = [...own]
      .map(([key, value]) => ({ key, value, left: rivals.filter((other) => other.get(key) === value) }))
      .sort((a, b) => a.left.length - b.left.length);
    if (!best || (found.length > 0 && best.left.length === rivals.length)) break;
    found.push({ key: best.key, operator: "NotIn", values: [best.value] });
    rivals = best.left;
  }
  while (rivals.length > 0) {
    const key = [...rivals[0]!.keys()].find((one) => !own.has(one))!;
    found.push({ key, operator: "Exists" });
    rivals = rivals.filter((other) => !other.has(key));
  }
  return found;
}

function labelled(cluster: OfflineCluster, pod: OfflinePod): Map<string, string> {
  return new Map([...Object.entries(ownLabels(pod, cluster)), [namespaceKey, pod.namespace]]);
}

function equal(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}
