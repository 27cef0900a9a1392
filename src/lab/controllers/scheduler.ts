// SPDX-License-Identifier: Apache-2.0
import { type Cluster, kinds } from "../cluster.ts";
import {
  controllerOf,
  expressionMatches,
  type NodeObject,
  objectKey,
  type Pod,
  podIsFinished,
  selectorMatches,
} from "../objects.ts";
import { type QueueOptions, startQueue } from "./queue.ts";

type Deps = Pick<QueueOptions, "log" | "signal">;

/** How long the first ready node waits for the others: without that it would get all the pods. */
const GATHER_MS = 5_000;

/** Gives each pod without a node one that fits: spread by owner first, then by number of pods. `nodes`: how many there will be. */
export function startScheduler(cluster: Cluster, deps: Deps & { readonly nodes: number }): void {
  const pods = cluster.cache(kinds.pod);
  const nodes = cluster.cache(kinds.node);
  let firstReadyMs: number | undefined;
  const gathered = () => {
    const ready = [...nodes.all()].filter(isReady).length;
    if (ready > 0) firstReadyMs ??= Date.now();
    return ready >= deps.nodes || (firstReadyMs !== undefined && Date.now() - firstReadyMs >= GATHER_MS);
  };
  const queue = startQueue({
    ...deps,
    name: "scheduler",
    // One key for all: a decision depends on those before it.
    async reconcile() {
      if (!gathered()) return firstReadyMs === undefined ? undefined : GATHER_MS;
      for (const pod of [...pods.all()].filter(isWaiting).sort(byAge)) {
        const node = chooseNode(pod, [...nodes.all()], [...pods.all()]);
        if (node) await cluster.bind(pod, node.metadata.name);
        else await markUnschedulable(cluster, pod, nodes.all());
      }
      return undefined;
    },
  });
  pods.onChange(({ object }) => {
    if (isWaiting(object) || object.metadata.deletionTimestamp) queue.add("pods");
  });
  nodes.onChange(() => queue.add("pods"));
  queue.add("pods");
}

function isReady(node: NodeObject): boolean {
  return (
    node.status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ??
    false
  );
}

function isWaiting(pod: Pod): boolean {
  return !pod.spec.nodeName && !pod.metadata.deletionTimestamp && !podIsFinished(pod);
}

function byAge(a: Pod, b: Pod): number {
  const [x, y] = [a.metadata.creationTimestamp ?? "", b.metadata.creationTimestamp ?? ""];
  if (x !== y) return x < y ? -1 : 1;
  return objectKey(a.metadata) < objectKey(b.metadata) ? -1 : 1;
}

/** Pure: the node a pod goes to, or undefined when none fits. */
export function chooseNode(
  pod: Pod,
  nodes: readonly NodeObject[],
  pods: readonly Pod[],
): NodeObject | undefined {
  const owner = controllerOf(pod)?.uid;
  let best: { node: NodeObject; cost: number } | undefined;
  for (const node of [...nodes].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    if (!fits(pod, node, pods)) continue;
    const here = pods.filter((other) => other.spec.nodeName === node.metadata.name && !podIsFinished(other));
    const siblings =
      owner === undefined ? 0 : here.filter((other) => controllerOf(other)?.uid === owner).length;
    const cost = siblings * 1000 + here.length;
    if (!best || cost < best.cost) best = { node, cost };
  }
  return best?.node;
}

export function fits(pod: Pod, node: NodeObject, pods: readonly Pod[] = []): boolean {
  if (!isReady(node) || node.spec?.unschedulable) return false;
  return (
    selects(pod, node) &&
    tolerates(pod, node) &&
    hostPortsFree(pod, node, pods) &&
    farFromOthers(pod, node, pods)
  );
}

/** nodeSelector and required node affinity. */
export function selects(pod: Pod, node: NodeObject): boolean {
  const labels = node.metadata.labels ?? {};
  for (const [key, value] of Object.entries(pod.spec.nodeSelector ?? {}))
    if (labels[key] !== value) return false;
  const terms =
    pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (!terms) return true;
  return terms.some(
    (term) =>
      (term.matchExpressions ?? []).every((expression) => expressionMatches(expression, labels)) &&
      (term.matchFields ?? []).every((field) =>
        expressionMatches(field, { "metadata.name": node.metadata.name }),
      ),
  );
}

export function tolerates(pod: Pod, node: NodeObject): boolean {
  return (node.spec?.taints ?? [])
    .filter((taint) => taint.effect !== "PreferNoSchedule")
    .every((taint) =>
      (pod.spec.tolerations ?? []).some(
        (toleration) =>
          (!toleration.effect || toleration.effect === taint.effect) &&
          (toleration.operator === "Exists"
            ? !toleration.key || toleration.key === taint.key
            : toleration.key === taint.key && (toleration.value ?? "") === (taint.value ?? "")),
      ),
    );
}

function hostPorts(pod: Pod): string[] {
  return pod.spec.containers.flatMap((container) =>
    (container.ports ?? []).flatMap((port) => {
      const host = port.hostPort ?? (pod.spec.hostNetwork ? port.containerPort : undefined);
      return host ? [`${port.protocol ?? "TCP"}/${host}`] : [];
    }),
  );
}

function hostPortsFree(pod: Pod, node: NodeObject, pods: readonly Pod[]): boolean {
  const wanted = hostPorts(pod);
  if (wanted.length === 0) return true;
  const taken = pods
    .filter((other) => other.spec.nodeName === node.metadata.name && !podIsFinished(other))
    .flatMap(hostPorts);
  return !wanted.some((port) => taken.includes(port));
}

/** Required pod anti-affinity by host name, the one topology a lab has. */
function farFromOthers(pod: Pod, node: NodeObject, pods: readonly Pod[]): boolean {
  const rules = pod.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  return rules.every(
    (rule) =>
      rule.topologyKey !== "kubernetes.io/hostname" ||
      !pods.some(
        (other) =>
          other.spec.nodeName === node.metadata.name &&
          other.metadata.namespace === pod.metadata.namespace &&
          selectorMatches(rule.labelSelector, other.metadata.labels),
      ),
  );
}

async function markUnschedulable(cluster: Cluster, pod: Pod, nodes: Iterable<NodeObject>): Promise<void> {
  const message = `0/${[...nodes].length} nodes are available for this pod's selectors, taints and ports.`;
  const others = (pod.status?.conditions ?? []).filter((condition) => condition.type !== "PodScheduled");
  const before = pod.status?.conditions?.find((condition) => condition.type === "PodScheduled");
  if (before?.message === message) return;
  await cluster.updateStatus(kinds.pod, {
    ...pod,
    status: {
      ...pod.status,
      phase: "Pending",
      conditions: [
        ...others,
        {
          type: "PodScheduled",
          status: "False",
          reason: "Unschedulable",
          message,
          lastTransitionTime: new Date().toISOString(),
        },
      ],
    },
  });
}
