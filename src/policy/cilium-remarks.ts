// SPDX-License-Identifier: Apache-2.0
import { type CiliumRule, readCiliumPolicy } from "#api/crd/cilium-network-policy.ts";
import { type LabelSelector, namespaceLabel } from "./selector.ts";

/**
 * What of a Cilium policy means something else than its author is likely to think: well-formed, enforced as Cilium does, and told in its
 * status. Each with the field.
 * @throws WeftError E_MANIFEST for a malformed object
 */
export function ciliumRemarks(object: unknown): string[] {
  const { kind, metadata, spec, specs = [] } = readCiliumPolicy(object);
  const clusterwide = kind === "CiliumClusterwideNetworkPolicy";
  const namespace = clusterwide ? undefined : (metadata.namespace ?? "default");
  const parts = [
    ...(spec ? [{ rule: spec, at: "spec" }] : []),
    ...specs.map((rule, index) => ({ rule, at: `specs[${index}]` })),
  ];
  return parts.flatMap(({ rule, at }) => [
    ...(namespace === undefined ? [] : aboutSubject(rule.endpointSelector ?? {}, namespace, at)),
    ...endpointPeers(rule, at).flatMap(({ selector, field }) => aboutPeer(selector, field)),
  ]);
}

/** A policy is about pods of its own namespace. */
function aboutSubject(selector: LabelSelector, namespace: string, at: string): string[] {
  const field = `${at}.endpointSelector`;
  const remarks: string[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (!isNamespaceKey(key) || value === namespace) continue;
    const outcome = key.startsWith("k8s:") ? "the label is taken out" : "with the label it selects nothing";
    remarks.push(`${field}.matchLabels: names namespace ${value}; ${only(namespace)}, and ${outcome}`);
  }
  for (const [index, { key, operator, values = [] }] of (selector.matchExpressions ?? []).entries()) {
    const holds =
      operator === "Exists" ||
      (operator === "In" && values.includes(namespace)) ||
      (operator === "NotIn" && !values.includes(namespace));
    if (!isNamespaceKey(key) || holds) continue;
    const path = `${field}.matchExpressions[${index}]`;
    remarks.push(`${path}: leaves out namespace ${namespace}; ${only(namespace)}, and so it selects nothing`);
  }
  return remarks;
}

const only = (namespace: string) =>
  `a CiliumNetworkPolicy is about pods of its own namespace, ${namespace}, alone`;

function isNamespaceKey(key: string): boolean {
  return key.replace(/^(k8s|any):/, "") === namespaceLabel;
}

interface EndpointPeer {
  readonly selector: LabelSelector;
  readonly field: string;
}

function endpointPeers(rule: CiliumRule, at: string): EndpointPeer[] {
  const ingress = (["ingress", "ingressDeny"] as const).flatMap((list) =>
    (rule[list] ?? []).flatMap(({ fromEndpoints = [] }, index) =>
      placed(fromEndpoints, `${at}.${list}[${index}].fromEndpoints`),
    ),
  );
  const egress = (["egress", "egressDeny"] as const).flatMap((list) =>
    (rule[list] ?? []).flatMap(({ toEndpoints = [] }, index) =>
      placed(toEndpoints, `${at}.${list}[${index}].toEndpoints`),
    ),
  );
  return [...ingress, ...egress];
}

function placed(selectors: readonly LabelSelector[], at: string): EndpointPeer[] {
  return selectors.map((selector, index) => ({ selector, field: `${at}[${index}]` }));
}

/** Labels of groups of prefixes are no pod's, and an endpoint peer is a pod: it has a namespace. */
function aboutPeer({ matchLabels = {}, matchExpressions = [] }: LabelSelector, field: string): string[] {
  const keys = [...Object.keys(matchLabels), ...matchExpressions.map(({ key }) => key)];
  const key = keys.find((one) => one.startsWith("cidrgroup:"));
  if (key === undefined) return [];
  return [
    `${field}: ${key} is a label of no pod and selects nobody; groups of prefixes are for CIDRSet, by cidrGroupRef or cidrGroupSelector`,
  ];
}
