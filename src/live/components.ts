// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { type KubeObject, type Resource, resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import { isReadyPod, type PodObject } from "./objects.ts";

/** What runs of Weft in a cluster, by the label `k8s-app` of its pods; the name is also that of its DaemonSet or Deployment. */
export const components = {
  agent: { app: "weft", container: "agent" },
  operator: { app: "weft-operator", container: "operator" },
  relay: { app: "weft-relay", container: "relay" },
} as const;

export type ComponentName = keyof typeof components;

const anyOfThem = `k8s-app in (${Object.values(components)
  .map(({ app }) => app)
  .join(",")})`;

/** Every object of a collection, page by page. */
export async function listAll<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  options: {
    readonly namespace?: string;
    readonly labelSelector?: string;
    readonly fieldSelector?: string;
    readonly signal: AbortSignal;
  },
): Promise<T[]> {
  const all: T[] = [];
  let continueToken: string | undefined;
  do {
    const page = await client.list<T>(resource, { ...options, limit: 500, continueToken });
    all.push(...page.items);
    continueToken = page.continueToken;
  } while (continueToken);
  return all;
}

/** Weft's pods wherever they are installed, by component. */
export async function weftPods(
  client: KubeClient,
  signal: AbortSignal,
): Promise<Record<ComponentName, PodObject[]>> {
  const pods = await listAll<PodObject>(client, resources.pods, { labelSelector: anyOfThem, signal });
  const of = (name: ComponentName) =>
    pods
      .filter((pod) => pod.metadata.labels?.["k8s-app"] === components[name].app)
      .sort((a, b) => order(a).localeCompare(order(b)));
  return { agent: of("agent"), operator: of("operator"), relay: of("relay") };
}

function order(pod: PodObject): string {
  return `${pod.spec.nodeName ?? ""} ${pod.metadata.name}`;
}

/** The agents' pods that can be asked, one a node; a leaving one only where there is no other. */
export function agentPerNode(pods: readonly PodObject[]): Map<string, PodObject> {
  const byNode = new Map<string, PodObject>();
  for (const pod of pods) {
    const node = pod.spec.nodeName;
    if (!node) continue;
    const known = byNode.get(node);
    if (!known || rank(pod) > rank(known)) byNode.set(node, pod);
  }
  return byNode;
}

function rank(pod: PodObject): number {
  return (pod.metadata.deletionTimestamp ? 0 : 4) + (isReadyPod(pod) ? 2 : 0) + (isRunning(pod) ? 1 : 0);
}

/** Its main container runs: a command can be started in it. */
export function isRunning(pod: PodObject): boolean {
  const statuses = pod.status?.containerStatuses ?? [];
  return pod.status?.phase === "Running" && statuses.some((status) => status.state?.running !== undefined);
}

/** The error of a cluster where Weft is not. */
export function notInstalled(server: string): WeftError {
  return new WeftError("E_AGENT", `no Weft agents run in the cluster at ${server}`, {
    hint: "install Weft with `weft install`, or choose another cluster with --kubeconfig and --context",
  });
}
