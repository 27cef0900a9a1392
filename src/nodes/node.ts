// SPDX-License-Identifier: Apache-2.0
import { type Address, type Family, family, nthAddress, type Prefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";

/** A node of the cluster as the agent sees it. */
export interface Node {
  readonly name: string;
  /** Of the Node object, where it is known. */
  readonly uid?: string;
  readonly self: boolean;
  /** InternalIPs in the Node's order, at most one per family used for the underlay. */
  readonly addresses: readonly Address[];
  /** ExternalIPs: others may reach the node by them; mostly translated on the way. */
  readonly externalAddresses?: readonly Address[];
  readonly podCidrs: readonly Prefix[];
  /** About to go (deleted, or chosen by the cluster autoscaler): load balancers should not send it anything new. */
  readonly leaving?: true;
  /** Its kubelet says it cannot run pods, or says nothing any more. */
  readonly notReady?: true;
  /** Labels with source, `k8s:kubernetes.io/hostname=n1`. */
  readonly labels: Labels;
}

/** The underlay address of a family: the first one. */
export function nodeAddress(node: Node, of: Family): Address | undefined {
  return node.addresses.find((address) => family(address) === of);
}

function podCidr(node: Node, of: Family): Prefix | undefined {
  return node.podCidrs.find((prefix) => family(prefix) === of);
}

/**
 * The node's own address inside the pod network: the first one of its pod CIDR after the network's (10.244.1.1 of
 * 10.244.1.0/24). The source of what the node itself sends to pods; never given to a pod.
 */
export function routerAddress(node: Node, of: Family): Address | undefined {
  const prefix = podCidr(node, of);
  return prefix && nthAddress(prefix, 1);
}

/**
 * Where to send the outer packet: the remote node's address in a family that both have, in the order of our own
 * addresses. One underlay family carries pods of both families.
 */
export function tunnelAddress(self: Node, remote: Node): Address | undefined {
  for (const own of self.addresses) {
    const address = nodeAddress(remote, family(own));
    if (address) return address;
  }
  return undefined;
}
