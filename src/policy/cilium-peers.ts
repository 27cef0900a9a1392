// SPDX-License-Identifier: Apache-2.0
import type { CiliumRule } from "#api/crd/cilium-network-policy.ts";
import { hostPrefix, type Prefix, parseAddress, parsePrefix } from "#model/ip.ts";
import type { AllowOrDeny, Refuse } from "./cilium-ports.ts";
import type { Named, Peer, Reference, Requirement } from "./rule.ts";
import { namespaceLabel, namespaceLabelsPrefix, requirementsOf, sourced } from "./selector.ts";

/** What a rule of a policy is compiled in. */
export interface CiliumScope {
  /** The policy's; "" when cluster-wide. */
  readonly namespace: string;
  /** The policy is about pods that have no labels yet, so peers need no namespace. */
  readonly aboutInit: boolean;
  /** Where the rule stands in the object. */
  readonly at: string;
  readonly refuse: Refuse;
}

type Ingress = NonNullable<CiliumRule["ingress"]>[number];
type Egress = NonNullable<CiliumRule["egress"]>[number];
type CidrSet = NonNullable<Ingress["fromCIDRSet"]>[number];
type ToService = NonNullable<Egress["toServices"]>[number];
type SelectorList = NonNullable<Ingress["fromEndpoints"]>;

/** Whom one rule is about. */
export interface CiliumPeers {
  /** Undefined: any peer. */
  readonly peers: Peer[] | undefined;
  readonly references: Reference[];
}

/** Undefined when the rule has no peer field at all. An empty list in any of the fields selects nobody. */
export function peersOf(entry: AllowOrDeny, scope: CiliumScope): CiliumPeers | undefined {
  const fields = entry as Partial<Ingress> & Partial<Egress>;
  const side = ["fromEndpoints", "fromCIDR", "fromCIDRSet", "fromEntities", "fromNodes"].some(
    (name) => name in entry,
  )
    ? "from"
    : "to";
  for (const name of ["fromGroups", "toGroups"] as const) {
    if ((fields[name]?.length ?? 0) > 0) scope.refuse(name);
  }
  const endpoints = fields[`${side}Endpoints`];
  const cidrs = fields[`${side}CIDR`];
  const cidrSets = fields[`${side}CIDRSet`];
  const entities = fields[`${side}Entities`];
  const services = fields.toServices;
  const nodes = fields[`${side}Nodes`];
  const given = [endpoints, cidrs, cidrSets, entities, services, nodes, fields.toFQDNs].filter(
    (list) => list !== undefined,
  );
  if (given.length === 0) return undefined;
  if (given.some((list) => list.length === 0)) return { peers: [], references: [] };
  if (entities?.includes("all")) return { peers: undefined, references: [] };
  const peers: Peer[] = [];
  const references: Reference[] = [];
  for (const selector of endpoints ?? []) peers.push(endpointPeer(selector, scope));
  for (const selector of nodes ?? []) peers.push(nodePeer(selector));
  for (const text of cidrs ?? []) peers.push({ kind: "cidr", prefix: prefixOf(text), except: [] });
  for (const [index, set] of (cidrSets ?? []).entries()) {
    const except = (set.except ?? []).map(parsePrefix);
    const of = groupOf(set);
    const field = `${scope.at}.${side}CIDRSet[${index}]`;
    if (of) references.push({ kind: "cidr-group", of, except, field });
    else peers.push({ kind: "cidr", prefix: parsePrefix(set.cidr!), except });
  }
  for (const entity of entities ?? []) peers.push({ kind: "entity", entity });
  for (const [index, service] of (services ?? []).entries())
    references.push(serviceReference(service, `${scope.at}.toServices[${index}]`));
  return { peers, references };
}

/** Other nodes: the own one is the host, which is always let in and which entity `host` means on the way out. */
function nodePeer(selector: SelectorList[number]): Peer {
  const requirements = requirementsOf(selector, sourced);
  const isNode = { key: "reserved:remote-node", operator: "Exists", values: [] } as const;
  return { kind: "selector", selector: { requirements: [isNode, ...requirements] } };
}

/** The labels of objects have no source. */
const ofObject = (key: string) => key.replace(/^(k8s|any):/, "");

function groupOf({ cidrGroupRef, cidrGroupSelector }: CidrSet): Named | undefined {
  if (cidrGroupRef !== undefined) return { name: cidrGroupRef };
  return cidrGroupSelector && { selector: { requirements: requirementsOf(cidrGroupSelector, ofObject) } };
}

/** A name or labels without a namespace are those of any namespace. */
function serviceReference({ k8sService, k8sServiceSelector }: ToService, field: string): Reference {
  if (k8sServiceSelector) {
    const { selector, namespace } = k8sServiceSelector;
    const of = { selector: { requirements: requirementsOf(selector, ofObject) } };
    return { kind: "service", of, namespace: namespace || undefined, field };
  }
  const { serviceName = "", namespace } = k8sService!;
  return { kind: "service", of: { name: serviceName }, namespace: namespace || undefined, field };
}

function prefixOf(text: string): Prefix {
  return text.includes("/") ? parsePrefix(text) : hostPrefix(parseAddress(text));
}

/**
 * A selector that does not speak of a namespace means the policy's own; of a cluster-wide policy, any pod. Selectors of
 * reserved labels mean no pods and stay as they are.
 */
function endpointPeer(selector: SelectorList[number], scope: CiliumScope): Peer {
  const requirements = requirementsOf(selector, sourced);
  return {
    kind: "selector",
    selector: { requirements: [...namespaceOf(requirements, scope), ...requirements] },
  };
}

function namespaceOf(requirements: readonly Requirement[], scope: CiliumScope): Requirement[] {
  const keys = requirements.map(({ key }) => key);
  if (keys.some((key) => key.startsWith("reserved:"))) return [];
  if (keys.some((key) => key === `k8s:${namespaceLabel}` || key === `any:${namespaceLabel}`)) return [];
  if (scope.namespace === "") {
    return scope.aboutInit ? [] : [{ key: `k8s:${namespaceLabel}`, operator: "Exists", values: [] }];
  }
  const byLabels = keys.some(
    (key) => /^(k8s|any):/.test(key) && key.slice(4).startsWith(namespaceLabelsPrefix),
  );
  return byLabels ? [] : [{ key: `k8s:${namespaceLabel}`, operator: "In", values: [scope.namespace] }];
}
