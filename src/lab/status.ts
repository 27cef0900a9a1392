// SPDX-License-Identifier: Apache-2.0
import { createKubeClient, type KubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import { type Families, type LabPlan, planLab, type Routing, statePaths } from "./layout.ts";
import { controllerOf, type NodeObject, type Pod, podIsReady } from "./objects.ts";
import { isAlive, type LabRecord, readRecord } from "./record.ts";

export interface LabStatus {
  readonly pid: number;
  readonly routing: Routing;
  readonly families: Families;
  readonly api: string;
  /** Path of the file. */
  readonly kubeconfig: string;
  /** `127.0.0.1:4245`; empty when none runs. */
  readonly observer: string;
  /** URL. */
  readonly metrics: string;
  readonly nodes: readonly LabNodeStatus[];
  readonly pods: readonly LabPodStatus[];
}

export interface LabNodeStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly addresses: readonly string[];
  readonly podCidrs: readonly string[];
  readonly netns: string;
  readonly agentLog: string;
  readonly pods: number;
}

export interface LabPodStatus {
  readonly namespace: string;
  readonly name: string;
  /** Name of the Deployment, StatefulSet…; the pod's own when it has none. */
  readonly workload: string;
  readonly node: string;
  readonly ips: readonly string[];
  readonly phase: string;
  readonly ready: boolean;
  readonly restarts: number;
}

/** The record of a lab that runs. @throws WeftError E_NO_LAB */
export function runningLab(): LabRecord & { readonly plan: LabPlan } {
  const record = readRecord();
  if (!record)
    throw new WeftError("E_NO_LAB", "no lab runs on this machine", { hint: "start one with `weft lab up`" });
  if (!isAlive(record)) {
    throw new WeftError("E_NO_LAB", "the lab on this machine has died", {
      hint: "`weft lab down` clears what is left, `weft lab up` starts anew",
    });
  }
  return { ...record, plan: planLab(record.shape) };
}

/** A client of the running lab's API server. @throws WeftError E_NO_LAB */
export async function labClient(): Promise<KubeClient> {
  runningLab();
  return createKubeClient(await loadCredentials(statePaths.kubeconfig), { userAgent: "weft" });
}

export async function labStatus(signal?: AbortSignal): Promise<LabStatus> {
  const lab = runningLab();
  using client = await labClient();
  const options = signal ? { signal } : {};
  const [nodes, pods] = await Promise.all([
    client.list<NodeObject>(resources.nodes, options),
    client.list<Pod>(resources.pods, options),
  ]);
  return {
    pid: lab.pid,
    routing: lab.shape.routing,
    families: lab.shape.families,
    api: lab.api,
    kubeconfig: statePaths.kubeconfig,
    observer: lab.observer ?? "",
    metrics: lab.metrics ?? "",
    nodes: lab.plan.nodes.map((plan) => {
      const object = nodes.items.find((node) => node.metadata.name === plan.name);
      return {
        name: plan.name,
        ready:
          object?.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") ?? false,
        addresses: plan.addresses,
        podCidrs: plan.podCidrs,
        netns: plan.netns,
        agentLog: plan.agentLog,
        pods: pods.items.filter((pod) => pod.spec.nodeName === plan.name).length,
      };
    }),
    pods: pods.items.map(podRow),
  };
}

function podRow(pod: Pod): LabPodStatus {
  return {
    namespace: pod.metadata.namespace ?? "default",
    name: pod.metadata.name,
    workload: workloadOf(pod),
    node: pod.spec.nodeName ?? "",
    ips: (pod.status?.podIPs ?? []).map(({ ip }) => ip),
    phase: pod.metadata.deletionTimestamp ? "Terminating" : (pod.status?.phase ?? "Pending"),
    ready: podIsReady(pod),
    restarts: (pod.status?.containerStatuses ?? []).reduce((sum, status) => sum + status.restartCount, 0),
  };
}

/** The name people know a pod's workload by: the Deployment behind a ReplicaSet, else the controller, else the pod. */
export function workloadOf(pod: Pod): string {
  const owner = controllerOf(pod);
  if (!owner) return pod.metadata.name;
  const hash = pod.metadata.labels?.["pod-template-hash"];
  if (owner.kind === "ReplicaSet" && hash && owner.name.endsWith(`-${hash}`))
    return owner.name.slice(0, -hash.length - 1);
  return owner.name;
}
