// SPDX-License-Identifier: Apache-2.0
import type { ManifestObject } from "#k8s/manifest.ts";
import { type Address, contains, hostPrefix, isAddress, parseAddress, parsePrefix } from "#model/ip.ts";
import { type PortQuestion, protocolName } from "#model/port.ts";
import type { PortRange, Rule } from "../rule.ts";
import { type LabelSelector, selects } from "../selector.ts";
import type { OfflineCluster, OfflinePolicy } from "./cluster.ts";
import type { End } from "./end.ts";
import { isPod } from "./engine.ts";
import type { DirectionJudgement, Judgement } from "./judge.ts";
import { placeOf, replaceRule } from "./object-edit.ts";
import { namedPorts, type OfflinePod } from "./pods.ts";
import { sameLabels, withoutPod } from "./tell-apart.ts";

/** A rule of a CiliumNetworkPolicy that denies, and what it denies. */
export interface Narrowing {
  readonly cluster: OfflineCluster;
  readonly policy: OfflinePolicy;
  readonly rule: Rule;
  readonly side: DirectionJudgement;
  readonly path: Judgement;
}

type Entry = Record<string, unknown>;

export interface Narrowed {
  readonly object: ManifestObject;
  /** There are no words for all other peers: the port is denied to none of them. */
  readonly forAllPeers: boolean;
}

/**
 * The policy with a rule that denies all it did but for this pod, peer and port: nothing can allow what a rule of this language denies. It
 * falls into the rule for all other peers, the rule for this one's other ports, and a part for the other pods it is about. Undefined: the
 * language has no words for what is left.
 */
export function narrowed(narrowing: Narrowing): Narrowed | undefined {
  const { policy, rule, side, path } = narrowing;
  const place = placeOf(policy.object, rule.origin.field ?? "");
  if (!place || !side.subject || !isPod(side.subject)) return undefined;
  const whole = place.list[place.index]! as Entry;
  const peer = side.direction === "ingress" ? path.from : path.to;
  const others = otherPeers(narrowing, whole, peer);
  const ports = otherPorts(rule, path);
  if (!ports || (!others && ports.length === 0)) return undefined;
  const forAllPeers = !others;
  replaceRule(place, [...(others ?? []), ...ports.map((own) => ({ ...peersOf(whole), ...own }))]);
  const rest = otherSubjects(narrowing, side.subject, place.part);
  if (rest.length === 0) return { object: place.object, forAllPeers };
  const {
    spec,
    specs = [],
    ...head
  } = place.object as ManifestObject & { spec?: unknown; specs?: unknown[] };
  const more = rest.map((endpointSelector) => ({
    endpointSelector,
    enableDefaultDeny: { ingress: false, egress: false },
    [place.field]: [whole],
  }));
  const object = { ...head, specs: [...(spec ? [spec] : []), ...specs, ...more] } as ManifestObject;
  return { object, forAllPeers };
}

function peersOf(entry: Entry): Entry {
  return Object.fromEntries(Object.entries(entry).filter(([key]) => /^(from|to)(?!Ports)/.test(key)));
}

function portsOf(entry: Entry): Entry {
  return Object.fromEntries(Object.entries(entry).filter(([key]) => key === "toPorts" || key === "icmps"));
}

/** The rule for everyone else among its peers. */
function otherPeers({ cluster, policy }: Narrowing, entry: Entry, peer: End): Entry[] | undefined {
  const fields = Object.entries(peersOf(entry));
  const own = portsOf(entry);
  if (fields.length !== 1) return undefined;
  const [name, list] = fields[0]! as [string, unknown[]];
  const side = name.startsWith("from") ? "from" : "to";
  const kind = name.slice(side.length);
  const left = (field: string, items: readonly unknown[]): Entry[] =>
    items.length === 0 ? [] : [{ [`${side}${field}`]: items, ...own }];
  if (kind === "Endpoints" && peer.kind === "pod" && !peer.pod.hostNetwork) {
    const namespace = policy.object.metadata.namespace;
    const among = cluster.pods.filter(({ hostNetwork }) => !hostNetwork);
    return left(kind, withoutPod(cluster, list as LabelSelector[], { pod: peer.pod, among, namespace }));
  }
  const address = peer.kind === "address" ? peer.address : undefined;
  if (address === undefined) return undefined;
  if (kind === "CIDR" || kind === "CIDRSet")
    return left(
      "CIDRSet",
      list.flatMap((one) => withoutAddress(one, address)),
    );
  if (kind !== "Entities") return undefined;
  const entities = list as string[];
  if (!entities.every((one) => /^world(-ipv[46])?$/.test(one))) return undefined;
  const all = entities.flatMap((one) => everyPrefix[one]!).map((cidr) => ({ cidr }));
  return left(
    "CIDRSet",
    all.flatMap((one) => withoutAddress(one, address)),
  );
}

const everyPrefix: Readonly<Record<string, readonly string[]>> = {
  world: ["0.0.0.0/0", "::/0"],
  "world-ipv4": ["0.0.0.0/0"],
  "world-ipv6": ["::/0"],
};

interface CidrSet {
  readonly cidr?: string;
  readonly except?: readonly string[];
}

/** As elements of a CIDRSet, which takes no single addresses. */
function withoutAddress(one: unknown, address: Address): CidrSet[] {
  const set: CidrSet = typeof one === "string" ? { cidr: prefixOf(one) } : (one as CidrSet);
  const hole = hostPrefix(address);
  const prefix = set.cidr === undefined ? undefined : parsePrefix(set.cidr);
  if (prefix !== undefined && !contains(prefix, address)) return [set];
  return prefix === hole ? [] : [{ ...set, except: [...(set.except ?? []), hole] }];
}

function prefixOf(text: string) {
  return isAddress(text) ? hostPrefix(parseAddress(text)) : parsePrefix(text);
}

/** Selectors of the pods a policy is about beside this one, who are denied as before; none where there are no such pods. */
function otherSubjects({ cluster, rule, policy }: Narrowing, pod: OfflinePod, part: Entry): LabelSelector[] {
  const { namespace } = policy.object.metadata;
  const among = cluster.pods.filter((one) => !one.hostNetwork && selects(rule.subject, one.labels));
  if (among.every((one) => sameLabels(cluster, one, pod))) return [];
  const whole = part["endpointSelector"] as LabelSelector;
  return withoutPod(cluster, [whole], { pod, among, namespace });
}

const portProtocols = [6, 17, 132] as const;
const lastPort = 65_535;

/** What a rule says of other ports than the asked one, as the port fields of rules; none: nothing is left. */
function otherPorts({ ports }: Rule, { port, proto, to }: Judgement): Entry[] | undefined {
  const names = to.kind === "pod" ? namedPorts(to.pod) : [];
  const isAsked = (range: PortRange) =>
    names.some((one) => one.name === range.name && one.port === port && one.proto === proto);
  const whole: PortRange = { proto: 0, first: 0, last: lastPort };
  const left = (ports ?? [whole]).flatMap((range) => {
    if (range.name !== undefined) return isAsked(range) ? [] : [range];
    return byProtocol(range).flatMap((one) => withoutPort(one, { port, proto }));
  });
  const some = left.filter(({ proto: own }) => own !== 1 && own !== 58);
  const icmp = left.filter(({ proto: own }) => own === 1 || own === 58);
  if (some.some(({ proto: own }) => !portProtocols.some((known) => known === own))) return undefined;
  return [
    ...(some.length > 0 ? [{ toPorts: chunks(some.map(portField)).map((own) => ({ ports: own })) }] : []),
    ...(icmp.length > 0 ? [{ icmps: chunks(icmp.map(icmpField)).map((fields) => ({ fields })) }] : []),
  ];
}

/** Any protocol is those that have ports, and echo requests: there is no word for all the rest. */
function byProtocol(range: PortRange): PortRange[] {
  if (range.proto !== 0) return [range];
  const echo = [
    { proto: 1, first: 8, last: 8 },
    { proto: 58, first: 128, last: 128 },
  ];
  return [...portProtocols.map((proto) => ({ ...range, proto })), ...echo];
}

function withoutPort(range: PortRange, { port, proto }: PortQuestion): PortRange[] {
  const { first, last } = range;
  if (range.proto !== proto || port < first || port > last) return [range];
  const parts = [
    { ...range, last: port - 1 },
    { ...range, first: port + 1 },
  ];
  return parts.filter((part) => part.first <= part.last && part.last > 0);
}

function portField({ proto, first, last, name }: PortRange): object {
  const protocol = protocolName(proto);
  if (name !== undefined) return { port: name, protocol };
  if (first === 0 && last === lastPort) return { port: "0", protocol };
  const from = Math.max(1, first);
  return { port: String(from), ...(last > from && { endPort: last }), protocol };
}

function icmpField({ proto, first }: PortRange): object {
  return { family: proto === 58 ? "IPv6" : "IPv4", type: first };
}

/** A list of ports has at most 40. */
function chunks<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / 40) }, (_, i) => all.slice(i * 40, i * 40 + 40));
}
