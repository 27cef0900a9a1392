// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";

/** A pod of Weft that is not ready, and why. */
export interface HangingPod {
  readonly pod: string;
  readonly node: string | undefined;
  readonly why: string;
}

interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount?: number;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly terminated?: Ended;
  };
  readonly lastState?: { readonly terminated?: Ended };
}

interface Ended {
  readonly exitCode: number;
  readonly reason?: string;
  readonly message?: string;
}

interface PodObject extends KubeObject {
  readonly metadata?: KubeObject["metadata"] & { readonly deletionTimestamp?: string };
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly message?: string;
    }[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

interface EventObject extends KubeObject {
  readonly type?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly involvedObject?: { readonly kind?: string; readonly name?: string };
}

const selector = "k8s-app in (weft,weft-operator,weft-relay,weft-cleanup)";
const mostPods = 5;

/** The pods of Weft that are not ready, at most five, each with what its status or its newest event says. */
export async function hangingPods(
  client: KubeClient,
  namespace: string,
  signal: AbortSignal,
): Promise<HangingPod[]> {
  const { items } = await client.list<PodObject>(resources.pods, {
    namespace,
    labelSelector: selector,
    signal,
  });
  const bad = items.filter((pod) => !isReady(pod)).slice(0, mostPods);
  return Promise.all(
    bad.map(async (pod) => ({
      pod: String(pod.metadata?.name),
      node: pod.spec?.nodeName,
      why: statusReason(pod) ?? (await eventReason(client, pod, signal)) ?? "is starting",
    })),
  );
}

function isReady(pod: PodObject): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
}

/** What the containers' states say; undefined when they say nothing of use. */
export function statusReason(pod: PodObject): string | undefined {
  if (pod.metadata?.deletionTimestamp) return "is being deleted";
  const containers = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  for (const { name, state, lastState, restartCount = 0 } of containers) {
    const ended = state?.terminated?.exitCode ? state.terminated : lastState?.terminated;
    const last = ended?.exitCode
      ? `container ${name} ended with ${ended.exitCode}${restartCount > 1 ? ` (${restartCount} restarts)` : ""}: ${lastLine(ended)}`
      : undefined;
    if (last) return last;
    const { reason, message } = state?.waiting ?? {};
    if (reason && reason !== "ContainerCreating" && reason !== "PodInitializing")
      return `container ${name}: ${reason}${message ? `: ${message}` : ""}`;
  }
  const placed = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
  return placed?.status === "False" ? placed.message : undefined;
}

/** A container's last words are many lines of log; the last of them says why it ended. */
function lastLine({ message, reason = "" }: Ended): string {
  const lines = message?.trim().split("\n") ?? [];
  const error = lines.findLast((line) => /"level":(50|60)|rror|atal/.test(line)) ?? lines.at(-1);
  return (error ?? reason).slice(0, 400);
}

async function eventReason(
  client: KubeClient,
  pod: PodObject,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { namespace, name } = pod.metadata ?? {};
  const { items } = await client.list<EventObject>(
    { group: "", version: "v1", plural: "events" },
    { namespace, fieldSelector: `involvedObject.name=${name}`, signal },
  );
  const warning = items.findLast((event) => event.type === "Warning") ?? items.at(-1);
  return warning && `${warning.reason}: ${warning.message}`;
}
