// SPDX-License-Identifier: Apache-2.0
import type { ManifestObject } from "#k8s/manifest.ts";
import { ReservedIdentity, reservedNames } from "#model/identity.ts";
import { hostPrefix } from "#model/ip.ts";
import { namespaceLabel } from "../selector.ts";
import type { OfflineCluster } from "./cluster.ts";
import type { DirectionJudgement, End, Judgement } from "./judge.ts";
import type { OfflinePod } from "./pods.ts";
import { type PortQuestion, portText, protocolName } from "./ports.ts";
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
  const { pod, direction } = side;
  if (!pod) return undefined;
  const peer = direction === "ingress" ? path.from : path.to;
  const name = nameOf(path, direction);
  const context = { cluster, pod, peer, direction, port: path, identity: side.identity };
  const plain = kind === "NetworkPolicy" || !kind.startsWith("Cilium");
  if (plain && canSayPlainly(context)) return networkPolicy(name, context);
  return ciliumPolicy(
    kind === "CiliumClusterwideNetworkPolicy" ? kind : "CiliumNetworkPolicy",
    name,
    context,
  );
}

interface Context {
  readonly cluster: OfflineCluster;
  readonly pod: OfflinePod;
  readonly peer: End;
  readonly direction: "ingress" | "egress";
  readonly port: PortQuestion;
  readonly identity: number;
}

const portProtocols = new Set(["TCP", "UDP", "SCTP"]);

function canSayPlainly({ peer, port }: Context): boolean {
  if (!portProtocols.has(protocolName(port.proto))) return false;
  return peer.kind === "address" || (peer.kind === "pod" && !peer.pod.hostNetwork);
}

function nameOf(path: Judgement, direction: string): string {
  const text = `allow-${direction}-${shortName(path.from)}-to-${shortName(path.to)}-${portText(path)}`;
  const plain = text.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return plain.slice(0, 63).replace(/-+$/, "");
}

function shortName(end: End): string {
  return end.kind === "pod" ? end.pod.workload : partyText(end);
}

/** Labels of the object that are part of its identity. */
function selectorOf({ own }: OfflinePod, { settings }: OfflineCluster): Record<string, string> {
  return Object.fromEntries(Object.entries(own).filter(([key]) => settings.keepsLabel(key)));
}

interface Expression {
  readonly key: string;
  readonly operator: "DoesNotExist";
}

/** What tells the pod from others of its namespace that have its labels and more: they must not become isolated. */
function notOthers(pod: OfflinePod, cluster: OfflineCluster): Expression[] {
  const own = selectorOf(pod, cluster);
  const keys = new Set<string>();
  for (const other of cluster.pods) {
    if (other.namespace !== pod.namespace) continue;
    const theirs = selectorOf(other, cluster);
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
  const labels = { ...extra, ...selectorOf(pod, cluster) };
  const others = notOthers(pod, cluster);
  return {
    ...(Object.keys(labels).length > 0 && { matchLabels: labels }),
    ...(others.length > 0 && { matchExpressions: others }),
  };
}

function networkPolicy(name: string, { cluster, pod, peer, direction, port }: Context): ManifestObject {
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

function plainPeer(peer: End, pod: OfflinePod, cluster: OfflineCluster): object {
  if (peer.kind === "address") return { ipBlock: { cidr: hostPrefix(peer.address) } };
  if (peer.kind === "reserved") return {};
  const labels = selectorOf(peer.pod, cluster);
  const podSelector = Object.keys(labels).length > 0 ? { matchLabels: labels } : {};
  if (peer.pod.namespace === pod.namespace) return { podSelector };
  const matchLabels = { "kubernetes.io/metadata.name": peer.pod.namespace };
  return { namespaceSelector: { matchLabels }, podSelector };
}

function ciliumPolicy(kind: string, name: string, context: Context): ManifestObject {
  const { cluster, pod, direction } = context;
  const clusterwide = kind === "CiliumClusterwideNetworkPolicy";
  const subject = subjectOf(pod, cluster, clusterwide ? { [namespaceLabel]: pod.namespace } : {});
  const rule = { ...ciliumPeer(context, clusterwide), ...ciliumPorts(context) };
  const metadata = { name, ...(!clusterwide && { namespace: pod.namespace }) };
  const spec = { endpointSelector: subject, [direction]: [rule] };
  return { apiVersion: "cilium.io/v2", kind, metadata, spec } as ManifestObject;
}

function ciliumPeer({ peer, pod, direction, cluster, identity }: Context, clusterwide: boolean): object {
  const side = direction === "ingress" ? "from" : "to";
  if (peer.kind === "pod" && !peer.pod.hostNetwork) {
    const elsewhere = clusterwide || peer.pod.namespace !== pod.namespace;
    const labels = {
      ...(elsewhere && { [`k8s:${namespaceLabel}`]: peer.pod.namespace }),
      ...selectorOf(peer.pod, cluster),
    };
    return { [`${side}Endpoints`]: [Object.keys(labels).length > 0 ? { matchLabels: labels } : {}] };
  }
  const node = reservedNames.get(identity) ?? (identity >>> 24 === 2 ? "remote-node" : undefined);
  const outside: readonly number[] = [
    ReservedIdentity.world,
    ReservedIdentity.worldV4,
    ReservedIdentity.worldV6,
  ];
  if (peer.kind === "address" && (node === undefined || outside.includes(identity)))
    return { [`${side}CIDR`]: [hostPrefix(peer.address)] };
  return { [`${side}Entities`]: [node === undefined || node.startsWith("world") ? "world" : node] };
}

function ciliumPorts({ port }: Context): object {
  const protocol = protocolName(port.proto);
  if (portProtocols.has(protocol)) return { toPorts: [{ ports: [{ port: String(port.port), protocol }] }] };
  if (!protocol.startsWith("ICMP")) return {};
  return { icmps: [{ fields: [{ family: protocol === "ICMPv6" ? "IPv6" : "IPv4", type: port.port }] }] };
}
