// SPDX-License-Identifier: Apache-2.0
import type { CiliumRule } from "#api/crd/cilium-network-policy.ts";
import { hostPrefix, type Prefix, parseAddress, parsePrefix } from "#model/ip.ts";
import type { AllowOrDeny, Refuse } from "./cilium-ports.ts";
import type { Peer, Requirement } from "./rule.ts";
import { namespaceLabel, namespaceLabelsPrefix, requirementsOf, sourced } from "./selector.ts";

/** What a rule of a policy is compiled in. */
export interface CiliumScope {
  /** The policy's; "" when cluster-wide. */
  readonly namespace: string;
  /** The policy is about pods that have no labels yet, so peers need no namespace. */
  readonly aboutInit: boolean;
  readonly refuse: Refuse;
}

type Ingress = NonNullable<CiliumRule["ingress"]>[number];
type Egress = NonNullable<CiliumRule["egress"]>[number];
type SelectorList = NonNullable<Ingress["fromEndpoints"]>;

/**
 * The peers of one rule: undefined for any, "unnamed" when the rule has no peer field at all. An empty list in any of the
 * fields selects nobody.
 */
export function peersOf(entry: AllowOrDeny, scope: CiliumScope): Peer[] | undefined | "unnamed" {
  const fields = entry as Partial<Ingress> & Partial<Egress>;
  const side = ["fromEndpoints", "fromCIDR", "fromCIDRSet", "fromEntities"].some((name) => name in entry)
    ? "from"
    : "to";
  for (const name of ["fromGroups", "fromNodes", "toServices", "toGroups", "toNodes", "toFQDNs"] as const) {
    if ((fields[name]?.length ?? 0) > 0) scope.refuse(name);
  }
  const endpoints = fields[`${side}Endpoints`];
  const cidrs = fields[`${side}CIDR`];
  const cidrSets = fields[`${side}CIDRSet`];
  const entities = fields[`${side}Entities`];
  const given = [endpoints, cidrs, cidrSets, entities, fields.fromNodes, fields.toNodes].filter(
    (list) => list !== undefined,
  );
  if (given.length === 0) return "unnamed";
  if (given.some((list) => list.length === 0)) return [];
  if (entities?.includes("all")) return undefined;
  const peers: Peer[] = [];
  for (const selector of endpoints ?? []) peers.push(endpointPeer(selector, scope));
  for (const text of cidrs ?? []) peers.push({ kind: "cidr", prefix: prefixOf(text), except: [] });
  for (const [index, set] of (cidrSets ?? []).entries()) {
    const at = `${side}CIDRSet[${index}]`;
    if (set.cidr === undefined)
      return scope.refuse(`${at}.${set.cidrGroupRef === undefined ? "cidrGroupSelector" : "cidrGroupRef"}`);
    peers.push({ kind: "cidr", prefix: parsePrefix(set.cidr), except: (set.except ?? []).map(parsePrefix) });
  }
  for (const [index, entity] of (entities ?? []).entries()) {
    if (entity === "cluster-mesh")
      scope.refuse(`${side}Entities[${index}]`, '"cluster-mesh" is not enforced by this version');
    peers.push({ kind: "entity", entity });
  }
  return peers;
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
