// SPDX-License-Identifier: Apache-2.0
import { podProblem } from "./ask.ts";
import { agentPerNode } from "./components.ts";
import { isReadyPod, isTrue, type NodeObject, type PodObject } from "./objects.ts";
import { agentProblems, operatorProblems, relayProblems, skewProblems } from "./problems.ts";
import type { ClusterReport, NodeReport, PodReport, Snapshot } from "./report.ts";

/** Judges a cluster by what was read of it. */
export function clusterReport(snapshot: Snapshot): ClusterReport {
  const agents = agentPerNode(snapshot.pods.agent);
  const nodes = snapshot.nodes
    .map((node) => nodeReport(node, agents.get(node.metadata.name), snapshot))
    .sort((a, b) => a.name.localeCompare(b.name));
  const leader = leaderPod(snapshot);
  const problems = [
    ...nodes.flatMap((node) => agentProblems(node, snapshot.answers.get(node.name))),
    ...operatorProblems(snapshot, leader),
    ...relayProblems(snapshot),
    ...skewProblems(nodes, snapshot.version),
  ];
  const errors = problems.filter(({ severity }) => severity === "error");
  return {
    server: snapshot.server,
    well: errors.length === 0,
    problems: [...errors, ...problems.filter(({ severity }) => severity !== "error")],
    nodes,
    operator: { pods: snapshot.pods.operator.map(podReport), ...(leader !== undefined && { leader }) },
    relay: { pods: snapshot.pods.relay.map(podReport) },
  };
}

function nodeReport(node: NodeObject, pod: PodObject | undefined, snapshot: Snapshot): NodeReport {
  const { name } = node.metadata;
  const answer = snapshot.answers.get(name);
  const internal = node.status?.addresses?.filter(({ type }) => type === "InternalIP") ?? [];
  return {
    name,
    ready: isTrue(node.status?.conditions, "Ready"),
    addresses: internal.map(({ address }) => address),
    podCidrs: node.spec?.podCIDRs ?? (node.spec?.podCIDR ? [node.spec.podCIDR] : []),
    ...(pod && { agent: podReport(pod) }),
    ...(answer?.status && { status: answer.status }),
    ...(answer?.flows && { flows: answer.flows }),
  };
}

function podReport(pod: PodObject): PodReport {
  const statuses = pod.status?.containerStatuses ?? [];
  const problem = podProblem(pod);
  return {
    pod: pod.metadata.name,
    namespace: pod.metadata.namespace,
    node: pod.spec.nodeName ?? "",
    ready: isReadyPod(pod),
    restarts: statuses.reduce((sum, { restartCount }) => sum + restartCount, 0),
    image: pod.spec.containers[0]?.image ?? "",
    ...(problem !== undefined && { problem }),
  };
}

/** The pod that holds the operators' Lease: its holder is the pod's name, maybe with something behind. */
function leaderPod({ lease, pods }: Snapshot): string | undefined {
  const holder = lease?.spec?.holderIdentity;
  if (!holder) return undefined;
  return pods.operator.find((pod) => holder.startsWith(pod.metadata.name))?.metadata.name ?? holder;
}
