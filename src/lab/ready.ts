// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { type Cluster, kinds } from "./cluster.ts";
import { statePaths } from "./layout.ts";
import { objectKey, type Pod, podIsFinished, podIsReady } from "./objects.ts";

export interface Readiness {
  readonly nodesReady: number;
  readonly nodes: number;
  readonly podsReady: number;
  /** Pods there should be: those there are, and those workloads still lack. */
  readonly pods: number;
  /** What is not ready, `pod shop/cart-… : reason`; at most 5. */
  readonly waitingFor: readonly string[];
}

/** How far the cluster is. */
export function readiness(cluster: Cluster): Readiness {
  const nodes = [...cluster.cache(kinds.node).all()];
  const pods = [...cluster.cache(kinds.pod).all()].filter(
    (pod) => !podIsFinished(pod) && !pod.metadata.deletionTimestamp,
  );
  const unready = pods.filter((pod) => !podIsReady(pod));
  const missing = [kinds.deployment, kinds.replicaSet, kinds.statefulSet]
    .flatMap((kind) => [...cluster.cache(kind).all()])
    .filter(
      (owner) =>
        (owner.status?.observedGeneration ?? 0) < (owner.metadata.generation ?? 1) ||
        (owner.status?.replicas ?? 0) < (owner.spec.replicas ?? 1),
    );
  const daemons = [...cluster.cache(kinds.daemonSet).all()].filter(
    (set) => set.status?.observedGeneration === undefined,
  );
  return {
    nodes: nodes.length,
    nodesReady: nodes.filter((node) =>
      node.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True"),
    ).length,
    pods: pods.length + missing.length + daemons.length,
    podsReady: pods.length - unready.length,
    waitingFor: [
      ...unready.map((pod) => `pod ${objectKey(pod.metadata)}: ${reasonOf(pod)}`),
      ...[...missing, ...daemons].map(
        (owner) => `${owner.kind.toLowerCase()} ${objectKey(owner.metadata)}: pods to be made`,
      ),
    ].slice(0, 5),
  };
}

function reasonOf(pod: Pod): string {
  if (!pod.spec.nodeName)
    return pod.status?.conditions?.find((one) => one.type === "PodScheduled")?.message ?? "no node yet";
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const waiting = statuses.find((status) => status.state.waiting);
  if (waiting?.state.waiting) return waiting.state.waiting.message ?? waiting.state.waiting.reason;
  return pod.status?.conditions?.find((one) => one.type === "ContainersReady")?.message ?? "starting";
}

export interface WaitOptions {
  readonly nodes: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  onChange?(readiness: Readiness): void;
}

/** Resolves when every node and every pod is ready. @throws WeftError E_LAB_TIMEOUT naming what is not */
export function waitReady(cluster: Cluster, options: WaitOptions): Promise<Readiness> {
  return new Promise((resolve, reject) => {
    const stops: (() => void)[] = [];
    let pending = false;
    const finish = (end: () => void) => {
      clearTimeout(timer);
      for (const stop of stops) stop();
      end();
    };
    const look = () => {
      pending = false;
      const now = readiness(cluster);
      options.onChange?.(now);
      if (now.nodesReady === options.nodes && now.podsReady === now.pods) finish(() => resolve(now));
    };
    const soon = () => {
      if (pending) return;
      pending = true;
      setTimeout(look, 20);
    };
    const timer = setTimeout(() => {
      const { waitingFor, nodesReady } = readiness(cluster);
      const what =
        nodesReady < options.nodes
          ? [`${options.nodes - nodesReady} of ${options.nodes} nodes not ready`]
          : [];
      finish(() =>
        reject(
          new WeftError(
            "E_LAB_TIMEOUT",
            `not ready after ${options.timeoutMs / 1000} s: ${[...what, ...waitingFor].join("; ")}`,
            {
              hint: `the logs are in ${statePaths.nodes}/*/`,
            },
          ),
        ),
      );
    }, options.timeoutMs);
    options.signal.addEventListener("abort", () => finish(() => reject(options.signal.reason)), {
      once: true,
    });
    for (const kind of [
      kinds.pod,
      kinds.node,
      kinds.deployment,
      kinds.replicaSet,
      kinds.statefulSet,
      kinds.daemonSet,
    ]) {
      stops.push(cluster.cache<never>(kind as never).onChange(soon));
    }
    soon();
  });
}
