// SPDX-License-Identifier: Apache-2.0

import { objectName } from "#api/crd/manifest.ts";
import {
  type NetworkPolicyPeer,
  type NetworkPolicyPort,
  readNetworkPolicy,
} from "#api/crd/network-policy.ts";
import { parsePrefix } from "#model/ip.ts";
import { checkSelectable } from "./refuse.ts";
import type { Peer, PortRange, Requirement, Rule, RuleOrigin, Selector } from "./rule.ts";
import { namespaceLabel, namespaceLabelsPrefix, requirementsOf } from "./selector.ts";

const protocols = { TCP: 6, UDP: 17, SCTP: 132 } as const;

/**
 * The rules of a networking.k8s.io/v1 NetworkPolicy; defaults as the Kubernetes API reference has them. A manifest without
 * namespace is one of namespace `default`.
 * @throws WeftError E_MANIFEST for a malformed object, E_POLICY_UNSUPPORTED for one that selects by labels that identities lack
 */
export function compileNetworkPolicy(object: unknown): Rule[] {
  const { metadata, spec } = readNetworkPolicy(object);
  const namespace = metadata.namespace ?? "default";
  const named = { kind: "NetworkPolicy", namespace, name: metadata.name, uid: metadata.uid ?? "" };
  const subject: Selector = {
    requirements: [inNamespace(namespace), ...requirementsOf(spec.podSelector ?? {}, (key) => `k8s:${key}`)],
  };
  const given = spec.policyTypes ?? [];
  const byRules = (spec.egress ?? []).length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
  const types: readonly string[] = given.length > 0 ? given : byRules;
  const rules: Rule[] = [];
  const compile = (direction: Rule["direction"], entries: readonly RuleEntry[]) => {
    if (entries.length === 0) {
      rules.push(
        ruleOf(subject, direction, { ...named, index: -1, field: "spec" }, { peers: [], ports: undefined }),
      );
    }
    for (const [index, { peers, ports }] of entries.entries()) {
      const compiled = { peers: peersOf(peers, namespace), ports: portsOf(ports) };
      const field = `spec.${direction}[${index}]`;
      rules.push(ruleOf(subject, direction, { ...named, index, field }, compiled));
    }
  };
  if (types.includes("Ingress")) {
    compile(
      "ingress",
      (spec.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports })),
    );
  }
  if (types.includes("Egress")) {
    compile(
      "egress",
      (spec.egress ?? []).map(({ to, ports }) => ({ peers: to, ports })),
    );
  }
  checkSelectable(rules, objectName(object));
  return rules;
}

interface RuleEntry {
  readonly peers: readonly NetworkPolicyPeer[] | undefined;
  readonly ports: readonly NetworkPolicyPort[] | undefined;
}

function ruleOf(
  subject: Selector,
  direction: Rule["direction"],
  origin: RuleOrigin,
  what: Pick<Rule, "peers" | "ports">,
): Rule {
  return {
    origin,
    subject,
    direction,
    tier: "normal",
    priority: 0,
    action: "allow",
    ...what,
    defaultDeny: true,
  };
}

function inNamespace(namespace: string): Requirement {
  return { key: `k8s:${namespaceLabel}`, operator: "In", values: [namespace] };
}

/** An absent or empty list is anybody. */
function peersOf(peers: RuleEntry["peers"], namespace: string): Peer[] | undefined {
  if (!peers || peers.length === 0) return undefined;
  return peers.map((peer): Peer => {
    if (peer.ipBlock) {
      const { cidr, except } = peer.ipBlock;
      return { kind: "block", prefix: parsePrefix(cidr), except: (except ?? []).map(parsePrefix) };
    }
    const pods = requirementsOf(peer.podSelector ?? {}, (key) => `k8s:${key}`);
    const scope = peer.namespaceSelector
      ? [
          { key: `k8s:${namespaceLabel}`, operator: "Exists" as const, values: [] },
          ...requirementsOf(peer.namespaceSelector, (key) => `k8s:${namespaceLabelsPrefix}${key}`),
        ]
      : [inNamespace(namespace)];
    return { kind: "selector", selector: { requirements: [...scope, ...pods] } };
  });
}

/** An absent or empty list is any port of any protocol; a port without number is every port of its protocol. */
function portsOf(ports: RuleEntry["ports"]): PortRange[] | undefined {
  if (!ports || ports.length === 0) return undefined;
  return ports.map(({ protocol = "TCP", port, endPort }): PortRange => {
    const proto = protocols[protocol];
    if (port === undefined) return { proto, first: 0, last: 65535 };
    if (typeof port === "string") return { proto, first: 0, last: 0, name: port };
    return { proto, first: port, last: endPort ?? port };
  });
}
