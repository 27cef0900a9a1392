// SPDX-License-Identifier: Apache-2.0
import type { ManifestObject } from "#k8s/manifest.ts";
import { type Address, hostPrefix } from "#model/ip.ts";
import { type PortQuestion, portText, protocolName } from "#model/port.ts";
import { matches, namespaceLabel } from "../selector.ts";
import { subjectOf } from "./allow-policy.ts";
import type { OfflineCluster } from "./cluster.ts";
import type { End } from "./end.ts";
import type { Party } from "./ends.ts";
import { deniedByPolicy, flowParty, flowText, type RecordedFlow } from "./flows.ts";
import type { OfflinePod } from "./pods.ts";
import { partyText } from "./text.ts";

export type GeneratedKind = "NetworkPolicy" | "CiliumNetworkPolicy";

export interface GenerateOptions {
  readonly namespace: string;
  readonly kind: GeneratedKind;
  /** Also allow every pod to ask kube-dns, seen or not. */
  readonly dns?: boolean;
}

/** Policies that allow what was seen, and what they leave out. */
export interface Generated {
  readonly policies: readonly ManifestObject[];
  readonly report: GenerateReport;
}

export interface GenerateReport {
  /** Flows that opened connections from or to the namespace's pods and were let through. */
  readonly flows: number;
  /** Workloads without any such flow: no policy is made for them. */
  readonly silentWorkloads: readonly string[];
  /** Ports that containers declare and nobody was seen to connect to. */
  readonly unseenPorts: readonly string[];
  /** Dropped flows, which are not allowed either. */
  readonly dropped: readonly { readonly flow: string; readonly count: number; readonly reason: string }[];
  /** Workloads with a policy that were never seen asking kube-dns: names will not resolve there. */
  readonly withoutDns: readonly string[];
  /** Flows that this kind of policy has no words for. */
  readonly unsayable: readonly string[];
  /** Flows of pods that the cluster does not have any more. */
  readonly unknown: readonly string[];
  /** Policies there are for the namespace's pods beside these: what they allow stays allowed. */
  readonly besides: readonly string[];
}

type Direction = "ingress" | "egress";

/** One workload's seen connections: peer → ports, by direction. */
interface Seen {
  readonly pod: OfflinePod;
  readonly peers: Record<
    Direction,
    Map<string, { readonly peer: End; readonly ports: Map<string, PortQuestion> }>
  >;
}

/** The policies of a namespace that allow exactly the connections that were seen: one object a workload, both directions isolated. */
export function generate(
  cluster: OfflineCluster,
  flows: readonly RecordedFlow[],
  options: GenerateOptions,
): Generated {
  const seen = new Map<string, Seen>();
  const stopped = deniedLast(cluster, flows);
  const dropped = new Map<string, { count: number; reason: string }>();
  const unsayable = new Set<string>();
  const unknown = new Set<string>();
  let counted = 0;
  for (const flow of flows) {
    if (flow.from.namespace !== options.namespace && flow.to.namespace !== options.namespace) continue;
    const text = flowText(cluster, flow);
    if (flow.verdict === "DROPPED") {
      if (deniedByPolicy(flow) && !stopped.has(text)) continue;
      const reason = deniedByPolicy(flow) ? "denied by policy" : flow.dropReason;
      dropped.set(text, { count: (dropped.get(text)?.count ?? 0) + 1, reason });
      continue;
    }
    if (stopped.has(text)) continue;
    const [from, to] = [flowParty(cluster, flow.from), flowParty(cluster, flow.to)];
    if (!from || !to || from.kind === "service") {
      unknown.add(text);
      continue;
    }
    counted++;
    if (options.kind === "NetworkPolicy" && !["TCP", "UDP", "SCTP"].includes(protocolName(flow.proto))) {
      unsayable.add(text);
      continue;
    }
    for (const [target, port] of backendsOf(to, flow)) {
      if (isOurs(from, options)) note(seen, from.pod, "egress", { peer: target, port });
      if (isOurs(target, options) && !isHostOf(target.pod, from))
        note(seen, target.pod, "ingress", { peer: from, port });
    }
  }
  if (options.dns) for (const one of seen.values()) addDns(cluster, one);
  const policies = [...seen.values()].map((one) => policyOf(cluster, one, options.kind));
  const report = {
    ...unseen(cluster, seen, options.namespace),
    flows: counted,
    dropped: [...dropped].map(([flow, rest]) => ({ flow, ...rest })),
    unsayable: [...unsayable],
    unknown: [...unknown],
    besides: besidesOf(cluster, options.namespace, policies),
  };
  return { policies, report };
}

/** What policies denied, unless it came in at the other end later: what they say last is what is meant. */
function deniedLast(cluster: OfflineCluster, flows: readonly RecordedFlow[]): Set<string> {
  const denied = new Map<string, string>();
  const delivered = new Map<string, string>();
  for (const flow of flows) {
    const times = deniedByPolicy(flow) ? denied : flow.delivered ? delivered : undefined;
    if (!times) continue;
    const text = flowText(cluster, flow);
    if (flow.time >= (times.get(text) ?? "")) times.set(text, flow.time);
  }
  return new Set(
    [...denied].filter(([text, time]) => time >= (delivered.get(text) ?? "")).map(([text]) => text),
  );
}

function besidesOf(cluster: OfflineCluster, namespace: string, made: readonly ManifestObject[]): string[] {
  const own = new Set(made.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`));
  const pods = cluster.pods.filter((pod) => pod.namespace === namespace);
  const selects = ({ row }: OfflineCluster["policies"][number]) =>
    row.rules.some((rule) => pods.some((pod) => matches(rule.subject, pod.labels)));
  return cluster.policies.filter((one) => !own.has(one.key) && selects(one)).map(({ key }) => key);
}

/** A node may always reach its own pods. */
function isHostOf({ node }: OfflinePod, end: End): boolean {
  if (end.kind === "node") return end.node.name === node;
  return end.kind === "reserved" && end.name === "host";
}

function isOurs(end: End, { namespace }: GenerateOptions): end is Extract<End, { kind: "pod" }> {
  return end.kind === "pod" && end.pod.namespace === namespace && !end.pod.hostNetwork;
}

function backendsOf(to: Party, port: PortQuestion): [End, PortQuestion][] {
  if (to.kind !== "service") return [[to, { port: port.port, proto: port.proto }]];
  const found = to.service.ports.find((one) => one.port === port.port && one.proto === port.proto);
  return (found?.backends ?? []).map(({ pod, address, port: number }) => [
    pod ? { kind: "pod", pod } : { kind: "address", address: address! },
    { port: number, proto: port.proto },
  ]);
}

function keyOf({ namespace, workload }: OfflinePod): string {
  return `${namespace}/${workload}`;
}

function note(
  seen: Map<string, Seen>,
  pod: OfflinePod,
  direction: Direction,
  { peer, port }: { readonly peer: End; readonly port: PortQuestion },
): void {
  let own = seen.get(keyOf(pod));
  if (!own) {
    own = { pod, peers: { ingress: new Map(), egress: new Map() } };
    seen.set(keyOf(pod), own);
  }
  const name =
    peer.kind === "pod" && !peer.pod.hostNetwork ? keyOf(peer.pod) : partyText(peer) + addressOf(peer);
  const known = own.peers[direction].get(name) ?? { peer, ports: new Map() };
  known.ports.set(portText(port), port);
  own.peers[direction].set(name, known);
}

function addressOf(end: End): string {
  return end.kind === "reserved" ? ` ${end.address ?? ""}` : "";
}

function dnsPods({ pods }: OfflineCluster): OfflinePod[] {
  return pods.filter((pod) => pod.own["k8s-app"] === "kube-dns");
}

function addDns(cluster: OfflineCluster, { pod, peers }: Seen): void {
  for (const dns of dnsPods(cluster)) {
    const holder = new Map([[keyOf(pod), { pod, peers }]]);
    for (const proto of [17, 6])
      note(holder, pod, "egress", { peer: { kind: "pod", pod: dns }, port: { port: 53, proto } });
  }
}

function unseen(
  cluster: OfflineCluster,
  seen: ReadonlyMap<string, Seen>,
  namespace: string,
): Pick<GenerateReport, "silentWorkloads" | "unseenPorts" | "withoutDns"> {
  const silent = new Set<string>();
  const ports = new Set<string>();
  for (const pod of cluster.pods) {
    if (pod.namespace !== namespace || pod.hostNetwork) continue;
    const own = seen.get(keyOf(pod));
    if (!own) silent.add(keyOf(pod));
    const asked = [...(own?.peers.ingress.values() ?? [])].flatMap((one) => [...one.ports.keys()]);
    for (const port of pod.ports)
      if (!asked.includes(portText(port))) ports.add(`${keyOf(pod)} ${portText(port)}`);
  }
  const dns = new Set(dnsPods(cluster).map(keyOf));
  const withoutDns = [...seen].filter(
    ([, { peers }]) => ![...peers.egress.keys()].some((peer) => dns.has(peer)),
  );
  return {
    silentWorkloads: [...silent],
    unseenPorts: [...ports],
    withoutDns: withoutDns.map(([name]) => name),
  };
}

function policyOf(cluster: OfflineCluster, { pod, peers }: Seen, kind: GeneratedKind): ManifestObject {
  const metadata = { name: `${pod.workload}-observed`, namespace: pod.namespace };
  const subject = subjectOf(pod, cluster);
  const rules = (direction: Direction) =>
    grouped(peers[direction], kind).flatMap((one) => rulesOf({ cluster, pod, kind, direction }, one));
  const [ingress, egress] = [rules("ingress"), rules("egress")];
  if (kind === "NetworkPolicy") {
    const spec = { podSelector: subject, policyTypes: ["Ingress", "Egress"], ingress, egress };
    return { apiVersion: "networking.k8s.io/v1", kind, metadata, spec } as ManifestObject;
  }
  // A direction without rules needs an empty one to be isolated: it allows nobody.
  const spec = {
    endpointSelector: subject,
    ingress: ingress.length > 0 ? ingress : [{}],
    egress: egress.length > 0 ? egress : [{}],
  };
  return { apiVersion: "cilium.io/v2", kind, metadata, spec } as ManifestObject;
}

interface Group {
  readonly peers: End[];
  readonly ports: readonly PortQuestion[];
}

/** Peers that were seen on the same ports share a rule. */
function grouped(seen: Seen["peers"][Direction], kind: GeneratedKind): Group[] {
  const byPorts = new Map<string, Group>();
  for (const { peer, ports } of seen.values()) {
    // A CiliumNetworkPolicy's rule has peers of one kind only.
    const sort =
      kind === "NetworkPolicy" ? "" : peer.kind === "pod" && peer.pod.hostNetwork ? "reserved" : peer.kind;
    const key = `${sort} ${[...ports.keys()].sort().join()}`;
    const group = byPorts.get(key) ?? { peers: [], ports: [...ports.values()] };
    group.peers.push(peer);
    byPorts.set(key, group);
  }
  return [...byPorts.values()];
}

interface RuleContext {
  readonly cluster: OfflineCluster;
  readonly pod: OfflinePod;
  readonly kind: GeneratedKind;
  readonly direction: Direction;
}

function isIcmp({ proto }: PortQuestion): boolean {
  return protocolName(proto).startsWith("ICMP");
}

function rulesOf(context: RuleContext, { peers, ports }: Group): object[] {
  if (context.kind === "CiliumNetworkPolicy") {
    const kinds = [ports.filter((port) => !isIcmp(port)), ports.filter(isIcmp)];
    return kinds.filter((own) => own.length > 0).map((own) => ciliumRule(context, { peers, ports: own }));
  }
  const side = context.direction === "ingress" ? "from" : "to";
  const own = ports.map(({ port, proto }) => ({ protocol: protocolName(proto), port }));
  return [{ [side]: peers.flatMap((peer) => plainPeers(context, peer)), ports: own }];
}

function plainPeers({ cluster, pod }: RuleContext, peer: End): object[] {
  if (peer.kind === "pod" && !peer.pod.hostNetwork) {
    const podSelector = subjectOf(peer.pod, cluster);
    const matchLabels = { "kubernetes.io/metadata.name": peer.pod.namespace };
    return [
      { ...(peer.pod.namespace !== pod.namespace && { namespaceSelector: { matchLabels } }), podSelector },
    ];
  }
  return endAddresses(peer).map((address) => ({ ipBlock: { cidr: hostPrefix(address) } }));
}

function endAddresses(end: End): readonly Address[] {
  if (end.kind === "pod") return end.pod.addresses;
  if (end.kind === "node") return end.address ? [end.address] : end.node.addresses;
  return end.address === undefined ? [] : [end.address];
}

function ciliumRule({ cluster, pod, direction }: RuleContext, { peers, ports }: Group): object {
  const side = direction === "ingress" ? "from" : "to";
  const endpoints: object[] = [];
  const cidrs = new Set<string>();
  const entities = new Set<string>();
  for (const peer of peers) {
    if (peer.kind === "pod" && !peer.pod.hostNetwork) {
      const elsewhere = peer.pod.namespace !== pod.namespace;
      const labels = elsewhere ? { [`k8s:${namespaceLabel}`]: peer.pod.namespace } : {};
      endpoints.push(subjectOf(peer.pod, cluster, labels));
    } else if (peer.kind === "address") {
      cidrs.add(hostPrefix(peer.address));
    } else {
      entities.add(peer.kind === "reserved" ? peer.name : "remote-node");
      if (peer.kind !== "reserved") entities.add("host").add("kube-apiserver");
    }
  }
  const both = ports.filter((port) => !isIcmp(port));
  const icmp = ports.filter(isIcmp);
  return {
    ...(endpoints.length > 0 && { [`${side}Endpoints`]: endpoints }),
    ...(cidrs.size > 0 && { [`${side}CIDR`]: [...cidrs] }),
    ...(entities.size > 0 && { [`${side}Entities`]: [...entities] }),
    ...(both.length > 0 && {
      toPorts: chunks(both).map((some) => ({
        ports: some.map(({ port, proto }) => ({ port: String(port), protocol: protocolName(proto) })),
      })),
    }),
    ...(icmp.length > 0 && {
      icmps: [
        { fields: icmp.map(({ port, proto }) => ({ family: proto === 58 ? "IPv6" : "IPv4", type: port })) },
      ],
    }),
  };
}

/** A list of ports has at most 40. */
function chunks(ports: readonly PortQuestion[]): PortQuestion[][] {
  const count = Math.ceil(ports.length / 40);
  return Array.from({ length: count }, (_, i) => ports.slice(i * 40, i * 40 + 40));
}
