// SPDX-License-Identifier: Apache-2.0
import type { AgentStatus } from "#agent/api.ts";
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { resources } from "#k8s/resource.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { operatorLease } from "#model/leases.ts";
import { askAgent, observerPath } from "./ask.ts";
import { agentPerNode, listAll, notInstalled, weftPods } from "./components.ts";
import { inParallel } from "./limit.ts";
import type { LeaseObject, NodeObject, PodObject } from "./objects.ts";
import type { AgentAnswer, FlowRate, Snapshot } from "./report.ts";

export interface SnapshotOptions {
  /** Of this command, to tell skew. */
  readonly version: string;
  /** Only this node. */
  readonly node?: string | undefined;
  readonly signal: AbortSignal;
}

/** An agent that does not answer in that time counts as not answering. */
const answerMs = 15_000;
const atOnce = 20;

/**
 * Reads what `clusterReport` judges: objects from the API server, the agents by a command in their containers, 20 at a time.
 * @throws WeftError E_AGENT when Weft is not installed; KubeError when the server refuses or is not reached
 */
export async function takeSnapshot(client: KubeClient, options: SnapshotOptions): Promise<Snapshot> {
  const { version, node: wanted, signal } = options;
  const [nodes, pods] = await Promise.all([
    listAll<NodeObject>(client, resources.nodes, { signal }),
    weftPods(client, signal),
  ]);
  const installed = [...pods.agent, ...pods.operator][0];
  if (!installed) throw notInstalled(client.server);
  const { namespace } = installed.metadata;
  const lease = client
    .get<LeaseObject>(resources.leases, { namespace, name: operatorLease }, signal)
    .catch((thrown: unknown) => {
      if (isNotFound(thrown)) return undefined;
      throw thrown;
    });
  const chosen = wanted === undefined ? nodes : nodes.filter((node) => node.metadata.name === wanted);
  if (wanted !== undefined && chosen.length === 0)
    throw new WeftError("E_NOT_FOUND", `the cluster has no node "${wanted}"`);
  const agents = [...agentPerNode(pods.agent)].filter(([node]) => wanted === undefined || node === wanted);
  const answers = await inParallel(
    agents,
    atOnce,
    async ([node, pod]): Promise<[string, AgentAnswer]> => [node, await answerOf(client, pod, signal)],
  );
  return {
    server: client.server,
    nowMs: Date.now(),
    version,
    nodes: chosen,
    pods,
    lease: await lease,
    answers: new Map(answers),
  };
}

async function answerOf(client: KubeClient, pod: PodObject, signal: AbortSignal): Promise<AgentAnswer> {
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
    const [status, flows] = await askAgent(client, pod, ["/v1/status", observerPath], limit);
    if (status?.error) return { error: status.error.message };
    return {
      status: status?.body as AgentStatus,
      ...(flows?.body !== undefined && { flows: flows.body as FlowRate }),
    };
  } catch (thrown) {
    signal.throwIfAborted();
    return { error: errorText(thrown) };
  }
}
