// SPDX-License-Identifier: Apache-2.0
import type { GetFlowsRequest, GetFlowsResponse } from "#api/gen/observer/observer_pb.ts";
import { type ObserverClient, observerClient } from "#flows/client.ts";
import { fixedMembers, type Member } from "#flows/member.ts";
import { mergeFlows } from "#flows/merge.ts";
import type { KubeClient } from "#k8s/client.ts";
import { agentPerNode, isRunning, notInstalled, weftPods } from "./components.ts";
import { isReadyPod, type PodObject } from "./objects.ts";
import { podSocket } from "./pod-socket.ts";

const relayPort = 4245;
/** Of a relay with TLS: its port for who comes through the API server, where it listens to its own pod alone. */
const localPortName = "local";
const agentPort = 4244;

function plainPort({ spec }: PodObject): number {
  const ports = spec.containers.flatMap((container) => container.ports ?? []);
  return ports.find(({ name }) => name === localPortName)?.containerPort ?? relayPort;
}

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
  const stack = new AsyncDisposableStack();
  stack.use(client);
  try {
    const pods = await weftPods(client, signal);
    const through = async (pod: PodObject, port: number) => {
      const { namespace, name } = pod.metadata;
      const socket = stack.use(await podSocket(client, { namespace, pod: name, port }, signal));
      return stack.use(observerClient(`unix://${socket.path}`));
    };
    const end = () => stack.disposeAsync();
    const relay = pods.relay.find(isReadyPod);
    if (relay) {
      const source = sourceOf(await through(relay, plainPort(relay)));
      return { ...source, name: relay.metadata.name, [Symbol.asyncDispose]: end };
    }
    const agents = [...agentPerNode(pods.agent)].filter(([, pod]) => isRunning(pod));
    if (agents.length === 0) throw notInstalled(client.server);
    const members: Member[] = [];
    for (const [name, pod] of agents)
      members.push({ name, address: pod.metadata.name, client: await through(pod, agentPort) });
    return {
      name: "the agents",
      getFlows: (request, until) =>
        mergeFlows(fixedMembers(members), request, { name: "weft", signal: until }),
      [Symbol.asyncDispose]: end,
    };
  } catch (thrown) {
    await stack.disposeAsync();
    throw thrown;
  }
}
