// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { runInformer } from "#k8s/informer.ts";
import { resources } from "#k8s/resource.ts";
import { type Clock, systemClock } from "#lib/clock.ts";
import { agentPerNode, components } from "./components.ts";
import type { PodObject } from "./objects.ts";

export interface AgentNode {
  readonly node: string;
  /** Of the agent's pod: its node's. */
  readonly address: string;
}

export interface FollowOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /**
   * A node whose agent's pod is gone is kept for so long, as an upgrade takes one away before it makes the next. Default 2 min.
   */
  readonly keepMs?: number;
  /** All nodes with an agent, in order of their names: at first, and when that changes. */
  onNodes(nodes: readonly AgentNode[]): void;
  /** The API server answers (undefined), or does not. */
  onState(problem: unknown): void;
}

const defaultKeepMs = 120_000;

/** Follows where agents are by their pods, until the signal aborts. Without an API server it goes on with what it knew. */
export async function followAgentNodes(options: FollowOptions): Promise<void> {
  const { client, namespace, signal, clock = systemClock, keepMs = defaultKeepMs, onNodes } = options;
  const pods = new Map<string, PodObject>();
  const known = new Map<string, { readonly address: string; readonly seenMs: number }>();
  let told = "";
  let cancel = () => {};
  const tell = () => {
    if (signal.aborted) return;
    const now = clock.now();
    for (const [node, pod] of agentPerNode([...pods.values()])) {
      const address = pod.status?.podIP ?? pod.status?.hostIP;
      if (address) known.set(node, { address, seenMs: now });
    }
    const here = new Set([...pods.values()].map((pod) => pod.spec.nodeName));
    for (const [node, { seenMs }] of known) if (!here.has(node) && now - seenMs >= keepMs) known.delete(node);
    const nodes = [...known]
      .map(([node, { address }]) => ({ node, address }))
      .sort((a, b) => a.node.localeCompare(b.node));
    const text = JSON.stringify(nodes);
    cancel();
    if ([...known.keys()].some((node) => !here.has(node))) cancel = clock.after(keepMs, tell);
    if (text === told) return;
    told = text;
    onNodes(nodes);
  };
  await runInformer<PodObject>({
    client,
    resource: resources.pods,
    namespace,
    labelSelector: `k8s-app=${components.agent.app}`,
    signal,
    clock,
    onList(objects) {
      pods.clear();
      for (const pod of objects) pods.set(pod.metadata.name, pod);
      tell();
    },
    onEvents(events) {
      for (const { kind, object } of events) {
        if (kind === "put") pods.set(object.metadata.name, object);
        else pods.delete(object.metadata.name);
      }
      tell();
    },
    onState: (problem) => options.onState(problem),
  });
  cancel();
}
