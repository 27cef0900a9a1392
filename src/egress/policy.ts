// SPDX-License-Identifier: Apache-2.0
import { type EgressGatewaySpec, readEgressGatewayPolicy } from "#api/crd/cilium-egress-gateway-policy.ts";
import type { KubeObject } from "#k8s/resource.ts";
import { type Address, type Prefix, parseAddress, parsePrefix } from "#model/ip.ts";
import type { Selector } from "#policy/rule.ts";
import { type LabelSelector, namespaceLabelsPrefix, requirementsOf, sourced } from "#policy/selector.ts";

/** A node by which pods leave the cluster. */
export interface GatewayChoice {
  readonly nodes: Selector;
  /** Neither: what the node's own device has. */
  readonly address?: Address;
  readonly interface?: string;
}

/** Intent: a CiliumEgressGatewayPolicy. */
export interface EgressPolicy {
  readonly name: string;
  /** Milliseconds since the epoch: of two that say the same of one destination, the older one counts. */
  readonly createdMs: number;
  /** Any of them. */
  readonly selectors: readonly { readonly pods: Selector; readonly nodes?: Selector }[];
  readonly destinations: readonly Prefix[];
  readonly excluded: readonly Prefix[];
  /** The pods are shared out among them. */
  readonly gateways: readonly GatewayChoice[];
}

/** @throws WeftError E_MANIFEST with the path of the field that is wrong */
export function egressPolicyRow(object: KubeObject): EgressPolicy {
  const kind = { apiVersion: "cilium.io/v2", kind: "CiliumEgressGatewayPolicy" };
  const { metadata, spec } = readEgressGatewayPolicy({ ...object, ...kind });
  // An empty list means what no list means.
  const gateways = spec.egressGateways?.length ? spec.egressGateways : [spec.egressGateway];
  return {
    name: metadata.name,
    createdMs: Date.parse(String(metadata["creationTimestamp"])) || 0,
    selectors: spec.selectors.map(podsOf),
    destinations: [...new Set(spec.destinationCIDRs.map(parsePrefix))],
    excluded: [...new Set((spec.excludedCIDRs ?? []).map(parsePrefix))],
    gateways: gateways.map((gateway) => ({
      nodes: nodesOf(gateway.nodeSelector),
      ...(gateway.egressIP !== undefined && { address: parseAddress(gateway.egressIP) }),
      ...(gateway.interface !== undefined && { interface: gateway.interface }),
    })),
  };
}

/** All that one entry says of a pod has to hold. */
function podsOf({
  podSelector = {},
  namespaceSelector = {},
  nodeSelector,
}: EgressGatewaySpec["selectors"][number]) {
  const ofNamespace = (key: string) => `k8s:${namespaceLabelsPrefix}${key}`;
  const requirements = [
    ...requirementsOf(podSelector, sourced),
    ...requirementsOf(namespaceSelector, ofNamespace),
  ];
  return { pods: { requirements }, ...(nodeSelector && { nodes: nodesOf(nodeSelector) }) };
}

function nodesOf(selector: LabelSelector): Selector {
  return { requirements: requirementsOf(selector, (key) => `k8s:${key}`) };
}
