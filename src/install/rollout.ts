// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import { getOptional } from "./cluster.ts";
import { type HangingPod, hangingPods } from "./hanging.ts";
import { installKinds } from "./kinds.ts";
import { pollUntil } from "./poll.ts";

/** How far a rollout is. */
export interface RolloutState {
  readonly parts: readonly RolloutPart[];
  readonly done: boolean;
  /** Pods that are in the way, with the reason. */
  readonly hanging: readonly HangingPod[];
}

export interface RolloutPart {
  /** `DaemonSet weft`, `nodes`. */
  readonly what: string;
  readonly ready: number;
  readonly wanted: number;
}

export interface RolloutOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  onState?(state: RolloutState): void;
}

interface Workload extends KubeObject {
  readonly metadata?: KubeObject["metadata"] & { readonly generation?: number };
  readonly spec?: { readonly replicas?: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly desiredNumberScheduled?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberAvailable?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
  };
}

/**
 * Waits until DaemonSet and Deployments of Weft run what they should on every node and the nodes are Ready.
 * @throws WeftError E_TIMEOUT with what is missing and why pods hang
 */
export async function waitForRollout(options: RolloutOptions): Promise<RolloutState> {
  let state: RolloutState | undefined;
  const done = await pollUntil(async () => {
    state = await rolloutState(options.client, options.namespace, options.signal);
    options.onState?.(state);
    return state.done;
  }, options);
  if (!done || !state) throw late(state, options.timeoutMs);
  return state;
}

/** How far it is now. @throws WeftError E_NOT_INSTALLED */
async function rolloutState(
  client: KubeClient,
  namespace: string,
  signal: AbortSignal,
): Promise<RolloutState> {
  const get = (resource: (typeof installKinds)["DaemonSet" | "Deployment"], name: string) =>
    getOptional<Workload>(client, resource, { namespace, name }, signal);
  const [agents, operator, nodes] = await Promise.all([
    get(installKinds.DaemonSet, "weft"),
    get(installKinds.Deployment, "weft-operator"),
    client.list<NodeObject>(resources.nodes, { signal }),
  ]);
  if (!agents)
    throw new WeftError("E_NOT_INSTALLED", `there is no DaemonSet weft in namespace ${namespace}`, {
      hint: "`weft install` makes one",
    });
  const ready = nodes.items.filter(isReady).length;
  const parts = [
    daemonSetPart(agents),
    ...(operator ? [deploymentPart(operator)] : []),
    { what: "nodes", ready, wanted: nodes.items.length },
  ];
  const done = parts.every((part) => part.ready >= part.wanted) && parts[0]!.wanted > 0;
  return { parts, done, hanging: done ? [] : await hangingPods(client, namespace, signal) };
}

function daemonSetPart(set: Workload): RolloutPart {
  const { desiredNumberScheduled = 0, updatedNumberScheduled = 0, numberAvailable = 0 } = set.status ?? {};
  const ready = seen(set) ? Math.min(updatedNumberScheduled, numberAvailable) : 0;
  return { what: `DaemonSet ${set.metadata?.name}`, ready, wanted: Math.max(desiredNumberScheduled, 1) };
}

function deploymentPart(deployment: Workload): RolloutPart {
  const { updatedReplicas = 0, availableReplicas = 0 } = deployment.status ?? {};
  const ready = seen(deployment) ? Math.min(updatedReplicas, availableReplicas) : 0;
  return { what: `Deployment ${deployment.metadata?.name}`, ready, wanted: deployment.spec?.replicas ?? 1 };
}

/** Its controller has taken note of the newest spec. */
function seen(workload: Workload): boolean {
  return (workload.status?.observedGeneration ?? 0) >= (workload.metadata?.generation ?? 0);
}

interface NodeObject extends KubeObject {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

function isReady(node: NodeObject): boolean {
  return (
    node.status?.conditions?.some(
      (condition) => condition.type === "Ready" && condition.status === "True",
    ) === true
  );
}

function late(state: RolloutState | undefined, timeoutMs: number): WeftError {
  const missing = (state?.parts ?? [])
    .filter((part) => part.ready < part.wanted)
    .map((part) => `${part.what} ${part.ready} of ${part.wanted} ready`);
  const pods = (state?.hanging ?? []).map(
    ({ pod, node, why }) => `Pod ${pod}${node ? ` on ${node}` : ""}: ${why}`,
  );
  return new WeftError(
    "E_TIMEOUT",
    `not ready after ${Math.round(timeoutMs / 1000)} s: ${[...missing, ...pods].join("; ")}`,
    { hint: "docs/troubleshooting.md goes on by symptom; `weft sysdump` collects what a bug report needs" },
  );
}
