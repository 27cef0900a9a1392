// SPDX-License-Identifier: Apache-2.0
import { type Address, contains, hostPrefix, type Prefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import { type ReferencedPod, withNamedBlocks } from "./named-blocks.ts";
import type { Named, Peer, Reference, Rule } from "./rule.ts";
import { matches, namespaceLabel } from "./selector.ts";
import type { CidrGroup } from "./table.ts";

/** A Service, as far as policies ask. */
export interface ReferencedService {
  readonly namespace: string;
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Absent: somebody else writes its EndpointSlices. */
  readonly selector?: Readonly<Record<string, string>>;
}

/** A node, as far as policies ask. */
export interface ReferencedNode {
  readonly name: string;
  /** With source. */
  readonly labels: Labels;
  readonly addresses: readonly Address[];
  readonly externalAddresses?: readonly Address[];
}

/** What references may speak of. */
export interface Referenced {
  nodes(): Iterable<ReferencedNode>;
  cidrGroups(): Iterable<CidrGroup>;
  services(): Iterable<ReferencedService>;
  /** Addresses in the EndpointSlices of a Service; each once or more. */
  addressesOf(service: ReferencedService): Iterable<Address>;
  /** Of the cluster. Without, names of ports mean nothing in blocks of addresses. */
  pods?(): Iterable<ReferencedPod>;
}

export const nothingReferenced: Referenced = {
  nodes: () => [],
  cidrGroups: () => [],
  services: () => [],
  addressesOf: () => [],
};

/** Rules with peers in place of references, and which references mean nobody for now. */
export interface Plain {
  readonly rules: readonly Rule[];
  readonly warnings: readonly string[];
}

/** Puts peers in the place of references. What a reference names and there is not, selects nobody. */
export function plainRules(rules: readonly Rule[], known: Referenced): Plain {
  const warnings: string[] = [];
  const plain = rules.map((rule): Rule => {
    const { references, ...rest } = rule;
    if (!references) return rule;
    const peers = references.flatMap((reference) => {
      const found = peersOf(reference, known);
      if (typeof found !== "string") return found;
      warnings.push(`${reference.field}: ${found} and selects nobody`);
      return [];
    });
    return { ...rest, peers: [...(rest.peers ?? []), ...peers] };
  });
  return { rules: known.pods ? withNamedBlocks(plain, () => known.pods!()) : plain, warnings };
}

/** Whether an object of that kind, in its old or its new form, is one the reference speaks of. */
export function refersTo(
  reference: Reference,
  kind: Reference["kind"],
  object: ReferencedService | CidrGroup | ReferencedNode,
): boolean {
  if (reference.kind !== kind) return false;
  if (reference.kind === "node") return matches(reference.of.selector, (object as ReferencedNode).labels);
  if (reference.kind === "service" && !inNamespace(reference, object as ReferencedService)) return false;
  return isNamed(reference.of, object as ReferencedService | CidrGroup);
}

function inNamespace({ namespace }: { readonly namespace: string | undefined }, service: ReferencedService) {
  return namespace === undefined || namespace === service.namespace;
}

function isNamed(of: Named, { name, labels = {} }: Pick<ReferencedService, "name" | "labels">): boolean {
  return "name" in of ? of.name === name : matches(of.selector, new Map(Object.entries(labels)));
}

/** Text: why there are none. */
function peersOf(reference: Reference, known: Referenced): Peer[] | string {
  if (reference.kind === "cidr-group") return peersOfGroups(reference, known);
  if (reference.kind === "node") return peersOfNodes(reference, known);
  const services = [...known.services()].filter((service) => refersTo(reference, "service", service));
  if (services.length === 0) return missing("Service", reference.of, reference.namespace);
  const peers = services.flatMap((service) => peersOfService(service, known));
  return peers.length > 0 ? peers : "no Service it names has an endpoint";
}

function peersOfGroups(
  { of, except }: Extract<Reference, { kind: "cidr-group" }>,
  known: Referenced,
): Peer[] | string {
  const groups = [...known.cidrGroups()].filter((group) => isNamed(of, group));
  if (groups.length === 0) return missing("CiliumCIDRGroup", of);
  const prefixes = new Set(groups.flatMap((group) => group.prefixes));
  return [...prefixes].sort().flatMap((prefix) => without(prefix, except));
}

/** What listens at a node's address is the node's, or a pod's in its network: the policy means both. */
function peersOfNodes({ of }: Extract<Reference, { kind: "node" }>, known: Referenced): Peer[] | string {
  const nodes = [...known.nodes()].filter(({ labels }) => matches(of.selector, labels));
  if (nodes.length === 0) return missing("node", of);
  const addresses = nodes.flatMap((node) => [...node.addresses, ...(node.externalAddresses ?? [])]);
  return [...new Set(addresses)].sort().map((address) => block(hostPrefix(address)));
}

function block(prefix: Prefix): Peer {
  return { kind: "block", prefix, except: [] };
}

function missing(kind: string, of: Named, namespace?: string): string {
  if (!("name" in of)) return `no ${kind} has these labels`;
  return `${kind} ${namespace === undefined ? "" : `${namespace}/`}${of.name} does not exist`;
}

/** A prefix but for the excepts in it; nothing when one of them has it whole. */
function without(prefix: Prefix, except: readonly Prefix[]): Peer[] {
  if (except.some((hole) => contains(hole, prefix))) return [];
  return [{ kind: "cidr", prefix, except: except.filter((hole) => contains(prefix, hole)) }];
}

/** The policy means the backends: a Service's own addresses are gone when a packet is judged. */
function peersOfService(service: ReferencedService, known: Referenced): Peer[] {
  if (service.selector) {
    const labels = Object.entries(service.selector);
    const requirements = [
      { key: `k8s:${namespaceLabel}`, operator: "In" as const, values: [service.namespace] },
      ...labels.map(([key, value]) => ({ key: `k8s:${key}`, operator: "In" as const, values: [value] })),
    ];
    return [{ kind: "selector", selector: { requirements } }];
  }
  const addresses = new Set(known.addressesOf(service));
  return [...addresses].sort().map((address) => ({ kind: "cidr", prefix: hostPrefix(address), except: [] }));
}
