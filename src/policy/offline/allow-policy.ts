// SPDX-License-Identifier: Apache-2.0
import type { ManifestObject } from "#k8s/manifest.ts";
import { hostPrefix } from "#model/ip.ts";
import { type PortQuestion, portText, protocolName } from "#model/port.ts";
import { namespaceLabel } from "../selector.ts";
import type { OfflineCluster } from "./cluster.ts";
import type { End } from "./end.ts";
import { isPod } from "./engine.ts";
import { nodeOfEnd } from "./identify.ts";
import type { DirectionJudgement, Judgement } from "./judge.ts";
import type { OfflineNode } from "./nodes.ts";
import type { OfflinePod } from "./pods.ts";
import { ownLabels } from "./tell-apart.ts";
import { partyText } from "./text.ts";

export interface Allowed {
  /** Of the policy that isolates. */
  readonly kind: string;
  readonly side: DirectionJudgement;
  readonly path: Judgement;
}

/**
 * A policy that allows one connection in one direction. A NetworkPolicy cannot say everything (ICMP, nodes); what it cannot say, a
 * CiliumNetworkPolicy says.
 */
export function allowPolicy(
  cluster: OfflineCluster,
  { kind, side, path }: Allowed,
): ManifestObject | undefined {
  const { subject, direction } = side;
  if (!subject) return undefined;
  const [own, peer] = direction === "ingress" ? [path.to, path.from] : [path.from, path.to];
  const name = nameOf(path, direction);
  const context = { cluster, own, peer, direction, port: path };
  if (!isPod(subject)) return nodePolicy(name, context, subject);
  if (!kind.startsWith("Cilium") && canSayPlainly(context)) return networkPolicy(name, context, subject);
  const written = kind === "CiliumClusterwideNetworkPolicy" ? kind : "CiliumNetworkPolicy";
  const isolates = side.decidedBy.length > 0;
  return ciliumPolicy(written, { name, pod: subject, isolates }, context);
}

interface Context {
  readonly cluster: OfflineCluster;
  /** Whose direction it is. */
  readonly own: End;
  readonly peer: End;
  readonly direction: "ingress" | "egress";
  readonly port: PortQuestion;
}

const portProtocols = new Set(["TCP", "UDP", "SCTP"]);

function canSayPlainly({ peer, port }: Context): boolean {
  if (!portProtocols.has(protocolName(port.proto))) return false;
  return peer.kind === "address" || (peer.kind === "pod" && !peer.pod.hostNetwork);
}

/** A name that says what the policy is for. */
export function nameOf(path: Judgement, direction: string): string {
  const text = `allow-${direction}-${shortName(path.from)}-to-${shortName(path.to)}-${portText(path)}`;
  const plain = text.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return plain.slice(0, 63).replace(/-+$/, "");
}

function shortName(end: End): string {
  return end.kind === "pod" ? end.pod.workload : partyText(end);
}

interface Expression {
  readonly key: string;
  readonly operator: "DoesNotExist";
}

/** What tells the pod from others of its namespace that have its labels and more: they must not become isolated. */
function notOthers(pod: OfflinePod, cluster: OfflineCluster): Expression[] {
  const own = ownLabels(pod, cluster);
  const keys = new Set<string>();
  for (const other of cluster.pods) {
    if (other.namespace !== pod.namespace) continue;
    const theirs = ownLabels(other, cluster);
    if (!Object.entries(own).every(([key, value]) => theirs[key] === value)) continue;
    const more = Object.keys(theirs).filter((key) => !(key in own));
    if (more.length > 0 && !more.some((key) => keys.has(key))) keys.add(more.sort()[0]!);
  }
  return [...keys].map((key) => ({ key, operator: "DoesNotExist" }));
}

/** The selector that means this pod, those like it, and no other of its namespace. */
export function subjectOf(
  pod: OfflinePod,
  cluster: OfflineCluster,
  extra: Record<string, string> = {},
): object {
  const labels = { ...extra, ...ownLabels(pod, cluster) };
  const others = notOthers(pod, cluster);
  return {
    ...(Object.keys(labels).length > 0 && { matchLabels: labels }),
    ...(others.length > 0 && { matchExpressions: others }),
  };
}

function networkPolicy(
  name: string,
  { cluster, peer, direction, port }: Context,
  pod: OfflinePod,
): ManifestObject {
  const ports = [{ protocol: protocolName(port.proto), port: port.port }];
  const rule = { [direction === "ingress" ? "from" : "to"]: [plainPeer(peer, pod, cluster)], ports };
  const spec = {
    podSelector: subjectOf(pod, cluster),
    policyTypes: [direction === "ingress" ? "Ingress" : "Egress"],
    [direction]: [rule],
  };
  const metadata = { name, namespace: pod.namespace };
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec } as ManifestObject;
}

/** Of an address or a pod: see `canSayPlainly`. */
function plainPeer(peer: End, pod: OfflinePod, cluster: OfflineCluster): object {
  if (peer.kind === "address") return { ipBlock: { cidr: hostPrefix(peer.address) } };
  if (peer.kind !== "pod") return {};
  const podSelector = subjectOf(peer.pod, cluster);
  if (peer.pod.namespace === pod.namespace) return { podSelector };
  const matchLabels = { "kubernetes.io/metadata.name": peer.pod.namespace };
  return { namespaceSelector: { matchLabels }, podSelector };
}

function ciliumPolicy(
  kind: string,
  { name, pod, isolates }: { readonly name: string; readonly pod: OfflinePod; readonly isolates: boolean },
  context: Context,
): ManifestObject {
  const { cluster, direction } = context;
  const clusterwide = kind === "CiliumClusterwideNetworkPolicy";
  const subject = subjectOf(pod, cluster, clusterwide ? { [`k8s:${namespaceLabel}`]: pod.namespace } : {});
  const rule = { ...ciliumPeer(context, clusterwide ? undefined : pod.namespace), ...ciliumPorts(context) };
  const metadata = { name, ...(!clusterwide && { namespace: pod.namespace }) };
  const open = !isolates && { enableDefaultDeny: { [direction]: false } };
  const spec = { endpointSelector: subject, ...open, [direction]: [rule] };
  return { apiVersion: "cilium.io/v2", kind, metadata, spec } as ManifestObject;
}

function nodePolicy(name: string, context: Context, node: OfflineNode): ManifestObject {
  const rule = { ...ciliumPeer(context, undefined), ...ciliumPorts(context) };
  const spec = { nodeSelector: { matchLabels: nodeSelector(node) }, [context.direction]: [rule] };
  const head = { apiVersion: "cilium.io/v2", kind: "CiliumClusterwideNetworkPolicy" };
  return { ...head, metadata: { name }, spec } as ManifestObject;
}

const hostname = "kubernetes.io/hostname";

/** By its name, which Kubernetes gives it as a label, else by all labels it has. */
function nodeSelector({ labels }: OfflineNode): Record<string, string> {
  return labels[hostname] === undefined ? { ...labels } : { [hostname]: labels[hostname] };
}

/** @param namespace of the policy; undefined: it has none */
function ciliumPeer({ cluster, own, peer, direction }: Context, namespace: string | undefined): object {
  const side = direction === "ingress" ? "from" : "to";
  if (peer.kind === "pod" && !peer.pod.hostNetwork) {
    const elsewhere = peer.pod.namespace !== namespace;
    const labels = elsewhere ? { [`k8s:${namespaceLabel}`]: peer.pod.namespace } : {};
    return { [`${side}Endpoints`]: [subjectOf(peer.pod, cluster, labels)] };
  }
  const node = nodeOfEnd(cluster, peer, own);
  if (node) {
    const here = own.kind === "pod" && own.pod.node === node.name;
    if (here) return { [`${side}Entities`]: ["host"] };
    if (Object.keys(node.labels).length > 0)
      return { [`${side}Nodes`]: [{ matchLabels: nodeSelector(node) }] };
    return { [`${side}Entities`]: ["remote-node"] };
  }
  if (peer.kind === "address") return { [`${side}CIDR`]: [hostPrefix(peer.address)] };
  return { [`${side}Entities`]: [peer.kind === "reserved" ? peer.name : "remote-node"] };
}

function ciliumPorts({ port }: Context): object {
  const protocol = protocolName(port.proto);
  if (portProtocols.has(protocol)) return { toPorts: [{ ports: [{ port: String(port.port), protocol }] }] };
  if (!protocol.startsWith("ICMP")) return {};
  return { icmps: [{ fields: [{ family: protocol === "ICMPv6" ? "IPv6" : "IPv4", type: port.port }] }] };
}
