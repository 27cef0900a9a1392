// SPDX-License-Identifier: Apache-2.0
import type { L2AnnouncementPolicySpec } from "#api/crd/cilium-l2-announcement-policy.ts";
import type { KubeObject } from "#k8s/resource.ts";
import { type Address, addressBytes, family } from "#model/ip.ts";
import { type LabelSelector, selectsLabels, serviceLabels } from "#model/selects-labels.ts";
import { type Service, serviceKey } from "./table.ts";

/** A CiliumL2AnnouncementPolicy. */
export interface L2Policy {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly serviceSelector?: LabelSelector;
  readonly nodeSelector?: LabelSelector;
  /** Absent: every device. */
  readonly devices?: readonly RegExp[];
  readonly externalIps: boolean;
  readonly loadBalancerIps: boolean;
  /** What of it cannot be read: then it announces nothing. */
  readonly problem?: string;
}

export interface L2PolicyObject extends KubeObject {
  readonly metadata: { readonly name: string; readonly uid?: string; readonly generation?: number };
  readonly spec?: L2AnnouncementPolicySpec;
}

export function l2PolicyRow({ metadata, spec = {} }: L2PolicyObject): L2Policy {
  const devices: RegExp[] = [];
  let problem: string | undefined;
  for (const [i, text] of (spec.interfaces ?? []).entries())
    try {
      devices.push(new RegExp(text));
    } catch {
      problem ??= `spec.interfaces[${i}]: ${JSON.stringify(text)} is not a regular expression`;
    }
  return {
    name: metadata.name,
    uid: metadata.uid ?? "",
    generation: metadata.generation ?? 1,
    ...(spec.serviceSelector && { serviceSelector: spec.serviceSelector }),
    ...(spec.nodeSelector && { nodeSelector: spec.nodeSelector }),
    ...(spec.interfaces && spec.interfaces.length > 0 && { devices }),
    externalIps: spec.externalIPs === true,
    loadBalancerIps: spec.loadBalancerIPs === true,
    ...(problem !== undefined && { problem }),
  };
}

/** An address that a node would answer for on the wire, if it holds its Lease. */
export interface L2Candidate {
  readonly address: Address;
  /** `namespace/name`; of several that share it the first by name. */
  readonly service: string;
  /** Sorted names. */
  readonly devices: readonly string[];
}

/** One address on one device. */
export interface L2Answer {
  readonly address: Address;
  readonly device: string;
}

export function answerKey({ address, device }: L2Answer): string {
  return `${address}@${device}`;
}

/** The node that asks what it may announce. */
export interface L2Node {
  readonly labels: Readonly<Record<string, string>>;
  /** Names of the devices that the node serves. */
  readonly devices: readonly string[];
  /** Whether a Service has a backend of this node that takes connections. */
  hasBackend(service: string): boolean;
}

/** A Service of this class is announced here and nowhere else; one without a class, too. */
const ownClass = "io.cilium/l2-announcer";

/**
 * What the node would announce, by the policies; an address of several Services once. With externalTrafficPolicy Local only where there is a
 * backend: elsewhere it would be silence.
 */
export function l2Candidates(
  services: Iterable<Service>,
  policies: readonly L2Policy[],
  node: L2Node,
): L2Candidate[] {
  const here = policies.filter(
    ({ problem, nodeSelector }) => problem === undefined && selectsLabels(nodeSelector, node.labels),
  );
  if (here.length === 0) return [];
  const found = new Map<Address, { readonly service: string; readonly devices: Set<string> }>();
  for (const service of [...services].sort((a, b) => (serviceKey(a) < serviceKey(b) ? -1 : 1))) {
    const key = serviceKey(service);
    const { loadBalancerClass = ownClass, externalLocal } = service;
    if (loadBalancerClass !== ownClass || (externalLocal && !node.hasBackend(key))) continue;
    const labels = serviceLabels(service);
    for (const policy of here) {
      if (!selectsLabels(policy.serviceSelector, labels)) continue;
      for (const address of addressesOf(service, policy)) {
        const { devices } = found.get(address) ?? { devices: new Set<string>() };
        for (const name of node.devices)
          if (policy.devices?.some((one) => one.test(name)) ?? true) devices.add(name);
        if (devices.size > 0 && !found.has(address)) found.set(address, { service: key, devices });
      }
    }
  }
  return [...found].map(([address, { service, devices }]) => ({
    address,
    service,
    devices: [...devices].sort(),
  }));
}

function addressesOf({ externalIps, ingressIps }: Service, policy: L2Policy): Address[] {
  return [...(policy.externalIps ? externalIps : []), ...(policy.loadBalancerIps ? ingressIps : [])];
}

/** One Lease an address, so that whatever Services come and go one node answers for it. Cilium's are one a Service. */
export function leaseName(address: Address): string {
  if (family(address) === 4) return `cilium-l2announce-${address}`;
  const view = new DataView(addressBytes(address).buffer);
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16));
  return `cilium-l2announce-${groups.join("-")}`;
}
