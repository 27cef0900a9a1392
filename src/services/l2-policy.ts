// SPDX-License-Identifier: Apache-2.0
import type { L2AnnouncementPolicySpec } from "#api/crd/cilium-l2-announcement-policy.ts";
import type { KubeObject } from "#k8s/resource.ts";
import type { Address } from "#model/ip.ts";
import { type LabelSelector, selectsLabels, serviceLabels } from "#model/selects-labels.ts";
import { type Service, serviceKey } from "./table.ts";

/** A CiliumL2AnnouncementPolicy. */
export interface L2Policy {
  readonly name: string;
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
  readonly metadata: { readonly name: string; readonly generation?: number };
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
    generation: metadata.generation ?? 1,
    ...(spec.serviceSelector && { serviceSelector: spec.serviceSelector }),
    ...(spec.nodeSelector && { nodeSelector: spec.nodeSelector }),
    ...(spec.interfaces && spec.interfaces.length > 0 && { devices }),
    externalIps: spec.externalIPs === true,
    loadBalancerIps: spec.loadBalancerIPs === true,
    ...(problem !== undefined && { problem }),
  };
}

/** What a node would announce of a Service, if it holds its Lease. */
export interface L2Candidate {
  /** `namespace/name` */
  readonly service: string;
  /** Name of the Lease that says which node does it. */
  readonly lease: string;
  /** Sorted, each once. */
  readonly answers: readonly L2Answer[];
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
 * What the node would announce, by the policies. An address that Services share goes with the first of them by name, so that one Lease
 * decides who answers for it. With externalTrafficPolicy Local only where there is a backend: elsewhere it would be silence.
 */
export function l2Candidates(
  services: Iterable<Service>,
  policies: readonly L2Policy[],
  node: L2Node,
): L2Candidate[] {
  const here = policies.filter(
    ({ problem, nodeSelector }) => problem === undefined && selectsLabels(nodeSelector, node.labels),
  );
  const candidates: L2Candidate[] = [];
  const taken = new Set<string>();
  for (const service of [...services].sort((a, b) => (serviceKey(a) < serviceKey(b) ? -1 : 1))) {
    const key = serviceKey(service);
    const { loadBalancerClass = ownClass, externalLocal } = service;
    if (loadBalancerClass !== ownClass || (externalLocal && !node.hasBackend(key))) continue;
    const labels = serviceLabels(service);
    const answers = new Map<string, L2Answer>();
    for (const policy of here)
      if (selectsLabels(policy.serviceSelector, labels))
        for (const answer of answersOf(service, policy, node.devices)) answers.set(answerKey(answer), answer);
    for (const at of answers.keys()) if (taken.has(at)) answers.delete(at);
    if (answers.size === 0) continue;
    for (const at of answers.keys()) taken.add(at);
    const sorted = [...answers].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, answer]) => answer);
    candidates.push({ service: key, lease: leaseName(service), answers: sorted });
  }
  return candidates;
}

function answersOf(service: Service, policy: L2Policy, devices: readonly string[]): L2Answer[] {
  const addresses = [
    ...(policy.externalIps ? service.externalIps : []),
    ...(policy.loadBalancerIps ? service.ingressIps : []),
  ];
  const on = devices.filter((name) => policy.devices?.some((one) => one.test(name)) ?? true);
  return addresses.flatMap((address) => on.map((device) => ({ address, device })));
}

/** As Cilium's: what shows who announces a Service goes on to. */
export function leaseName({ namespace, name }: Pick<Service, "namespace" | "name">): string {
  return `cilium-l2announce-${namespace}-${name}`;
}
