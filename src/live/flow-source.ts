// SPDX-License-Identifier: Apache-2.0
import type { GetFlowsRequest, GetFlowsResponse } from "#api/gen/observer/observer_pb.ts";
import { type ObserverClient, observerClientOver } from "#flows/client.ts";
import { fixedMembers, type Member } from "#flows/member.ts";
import { mergeFlows } from "#flows/merge.ts";
import type { KubeClient } from "#k8s/client.ts";
import { connectPod } from "#k8s/port-forward.ts";
import { agentPerNode, isRunning, notInstalled, weftPods } from "./components.ts";
import { isReadyPod, type PodObject } from "./objects.ts";

const relayPort = 4245;
const agentPort = 4244;

/** Where flows come from. Disposing ends its connections. */
export interface FlowSource extends AsyncDisposable {
  /** For messages. */
  readonly name: string;
  getFlows(request: GetFlowsRequest, signal: AbortSignal): AsyncIterable<GetFlowsResponse>;
}

/** The flows of one observer. */
export function sourceOf(observer: ObserverClient): FlowSource {
  return {
    name: observer.address,
    getFlows: (request, signal) => observer.api.getFlows(request, { signal }),
    [Symbol.asyncDispose]: async () => observer[Symbol.dispose](),
  };
}

/**
 * The flows of a cluster through its API server: from the relay, or, where none is ready, from every node's agent, merged here. Takes the
 * client over: disposing ends it too.
 * @throws WeftError E_AGENT when Weft is not installed; KubeError
 */
export async function clusterFlows(client: KubeClient, signal: AbortSignal): Promise<FlowSource> {
  const pods = await weftPods(client, signal);
  const through = (pod: PodObject, port: number) => {
    const { namespace, name } = pod.metadata;
    return observerClientOver(`${namespace}/${name}`, () =>
      connectPod(client, { namespace, pod: name, port }, signal),
    );
  };
  const end = (observers: readonly ObserverClient[]) => async () => {
    for (const observer of observers) observer[Symbol.dispose]();
    client[Symbol.dispose]();
  };
  const relay = pods.relay.find(isReadyPod);
  if (relay) {
    const observer = through(relay, relayPort);
    return { ...sourceOf(observer), [Symbol.asyncDispose]: end([observer]) };
  }
  const members: Member[] = [...agentPerNode(pods.agent)]
    .filter(([, pod]) => isRunning(pod))
    .map(([node, pod]) => ({
      name: node,
      address: pod.metadata.name,
      client: through(pod, agentPort),
    }));
  if (members.length === 0) throw notInstalled(client.server);
  return {
    name: "the agents",
    getFlows: (request, until) => mergeFlows(fixedMembers(members), request, { name: "weft", signal: until }),
    [Symbol.asyncDispose]: end(members.map((member) => member.client)),
  };
}
