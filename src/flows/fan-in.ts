// SPDX-License-Identifier: Apache-2.0
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  GetNamespacesResponseSchema,
  GetNodesResponseSchema,
  type NodeSchema,
  type Observer,
  ServerStatusResponseSchema,
} from "#api/gen/observer/observer_pb.ts";
import { NodeState } from "#api/gen/relay/relay_pb.ts";
import { observerClient } from "./client.ts";
import { Directory } from "./directory.ts";
import { ANSWER_MS, type FanInNode, type Member, type MemberSet, memberStatus } from "./member.ts";
import { mergeFlows } from "./merge.ts";
import type { ListenAddress } from "./messages.ts";
import { peerService } from "./peer.ts";
import { type RpcServer, startRpcServer } from "./server.ts";

export interface FanInOptions {
  readonly nodes: readonly FanInNode[];
  readonly listen: ListenAddress;
  readonly version: string;
  /** How the fan-in calls itself in its own messages. Default: the host's name. */
  readonly name?: string;
}

/** One observer for many nodes. Disposing ends it and its connections. */
export interface FanIn extends RpcServer {
  /** Replaces the set of nodes; who follows flows hears of it and goes on with the new ones. */
  setNodes(nodes: readonly FanInNode[]): void;
  /** Asks every node whether it answers. */
  check(signal: AbortSignal): Promise<{ readonly connected: number; readonly unavailable: string[] }>;
}

/**
 * Serves `observer.Observer` and `peer.Peer` for many nodes: flows merged by time, status and namespaces summed up.
 * @throws WeftError E_LISTEN, E_USAGE for a bad node address
 */
export async function startFanIn(options: FanInOptions): Promise<FanIn> {
  const members = new Map<string, Member>();
  const listeners = new Set<() => void>();
  const peers = new Directory();
  const setNodes = (nodes: readonly FanInNode[]) => {
    const wanted = new Map(nodes.map((node) => [`${node.name} ${node.address}`, node]));
    const left = [...members].filter(([key]) => !wanted.has(key));
    for (const [key] of left) members.delete(key);
    for (const [key, node] of wanted) {
      if (!members.has(key)) members.set(key, { ...node, client: observerClient(node.address) });
    }
    // Readers let go of a node before its connection is cut, which would look like a failure.
    for (const listener of listeners) listener();
    for (const [, { client }] of left) client[Symbol.dispose]();
    const gone = [...peers.peers.keys()].filter((name) => !nodes.some((node) => node.name === name));
    peers.apply({ peers: { put: nodes.map((node) => ({ ...node, key: node.name })), delete: gone } }, 0, 0);
  };
  setNodes(options.nodes);
  const name = options.name ?? "relay";
  const set: MemberSet = {
    all: () => [...members.values()],
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const server = await startRpcServer(options.listen, {
    observer: fanInObserver(set, name, options.version),
    peer: peerService(peers),
  });
  return {
    tcpPort: server.tcpPort,
    tlsPort: server.tlsPort,
    setNodes,
    async check(signal) {
      const all = set.all();
      const answers = await Promise.all(all.map((member) => memberStatus(member, signal)));
      const unavailable = all.filter((_, i) => !answers[i]).map((member) => member.name);
      return { connected: all.length - unavailable.length, unavailable };
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      for (const { client } of members.values()) client[Symbol.dispose]();
    },
  };
}

function fanInObserver(members: MemberSet, name: string, version: string): ServiceImpl<typeof Observer> {
  const startedMs = performance.now();
  const unimplemented = (what: string): never => {
    throw new ConnectError(`${what} are not recorded`, Code.Unimplemented);
  };
  return {
    getFlows: (request, { signal }) => mergeFlows(members, request, { name, signal }),
    getAgentEvents: () => unimplemented("agent events"),
    getDebugEvents: () => unimplemented("debug events"),
    async getNodes(_request, { signal }) {
      const nodes = await Promise.all(members.all().map((member) => nodeOf(member, signal)));
      return create(GetNodesResponseSchema, { nodes });
    },
    async getNamespaces(_request, { signal }) {
      const answers = await Promise.all(
        members.all().map(({ client }) =>
          client.api.getNamespaces({}, { signal, timeoutMs: ANSWER_MS }).then(
            ({ namespaces }) => namespaces,
            () => [],
          ),
        ),
      );
      const all = new Map(answers.flat().map((entry) => [`${entry.cluster}/${entry.namespace}`, entry]));
      return create(GetNamespacesResponseSchema, {
        namespaces: [...all.keys()].sort().map((key) => all.get(key)!),
      });
    },
    async serverStatus(_request, { signal }) {
      const all = members.all();
      const answers = await Promise.all(all.map((member) => memberStatus(member, signal)));
      const statuses = answers.filter((status) => status !== undefined);
      const unavailable = all.filter((_, i) => !answers[i]).map((member) => member.name);
      const sum = (field: "numFlows" | "maxFlows" | "seenFlows") =>
        statuses.reduce((total, status) => total + status[field], 0n);
      return create(ServerStatusResponseSchema, {
        numFlows: sum("numFlows"),
        maxFlows: sum("maxFlows"),
        seenFlows: sum("seenFlows"),
        uptimeNs: BigInt(Math.round(performance.now() - startedMs)) * 1_000_000n,
        numConnectedNodes: statuses.length,
        numUnavailableNodes: unavailable.length,
        unavailableNodes: unavailable,
        version,
        flowsRate: statuses.reduce((total, { flowsRate }) => total + flowsRate, 0),
      });
    },
  };
}

async function nodeOf(member: Member, signal: AbortSignal): Promise<MessageInitShape<typeof NodeSchema>> {
  const status = await memberStatus(member, signal);
  const { uptimeNs, numFlows, maxFlows, seenFlows } = status ?? create(ServerStatusResponseSchema);
  return {
    name: member.name,
    address: member.address,
    state: status ? NodeState.NODE_CONNECTED : NodeState.NODE_UNAVAILABLE,
    version: status?.version ?? "",
    uptimeNs,
    numFlows,
    maxFlows,
    seenFlows,
    tls: { enabled: false },
  };
}
