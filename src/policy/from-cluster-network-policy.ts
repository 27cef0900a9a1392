// SPDX-License-Identifier: Apache-2.0
import {
  type ClusterNetworkPolicyEgressPeer,
  type ClusterNetworkPolicyProtocol,
  type ClusterNetworkPolicySubject,
  readClusterNetworkPolicy,
} from "#api/crd/cluster-network-policy.ts";
import { objectName } from "#api/crd/manifest.ts";
import { parsePrefix } from "#model/ip.ts";
import { checkSelectable, unsupported } from "./refuse.ts";
import type { Peer, PortRange, Reference, Requirement, Rule, RuleOrigin, Selector } from "./rule.ts";
import { namespaceLabel, namespaceLabelsPrefix, requirementsOf } from "./selector.ts";

const tiers = { Admin: "admin", Baseline: "baseline" } as const;
const actions = { Accept: "allow", Deny: "deny", Pass: "pass" } as const;
const protocols = { tcp: 6, udp: 17, sctp: 132 } as const;

/** Rules of one direction that an object may have: the order within it goes between its priority and the next one. */
const rulesPerPriority = 25;

/**
 * The rules of a policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy. It isolates nobody: what none of its rules matches goes on to the
 * next tier. Rules of the same place in policies with the same priority are judged together, denial first.
 * @throws WeftError E_MANIFEST for a malformed object, E_POLICY_UNSUPPORTED for one with a peer that needs a DNS proxy, or that selects by labels
 * that identities lack
 */
export function compileClusterNetworkPolicy(object: unknown): Rule[] {
  const { metadata, spec } = readClusterNetworkPolicy(object);
  const named = { kind: "ClusterNetworkPolicy", namespace: "", name: metadata.name, uid: metadata.uid ?? "" };
  const subject = podsOf(spec.subject);
  const compile = (direction: Rule["direction"], entries: readonly Entry[]): Rule[] =>
    entries.map(({ name, action, peers, protocols }, index): Rule => {
      const field = `spec.${direction}[${index}]`;
      const at = `${field}.${direction === "ingress" ? "from" : "to"}`;
      const who = peers.map((peer, of) => meaning(peer, { object, at: `${at}[${of}]` }));
      const references = who.flatMap((one) => one.references ?? []);
      return {
        origin: { ...named, index, field, ...(name && { rule: name }) } satisfies RuleOrigin,
        subject,
        direction,
        tier: tiers[spec.tier],
        priority: spec.priority * rulesPerPriority + index,
        action: actions[action],
        peers: who.flatMap((one) => one.peers ?? []),
        ...(references.length > 0 && { references }),
        ports: protocols?.map(portsOf),
        defaultDeny: false,
      };
    });
  const rules = [
    ...compile(
      "ingress",
      (spec.ingress ?? []).map(({ from, ...entry }) => ({ ...entry, peers: from })),
    ),
    ...compile(
      "egress",
      (spec.egress ?? []).map(({ to, ...entry }) => ({ ...entry, peers: to })),
    ),
  ];
  checkSelectable(rules, objectName(object));
  return rules;
}

interface Entry {
  readonly name?: string | undefined;
  readonly action: keyof typeof actions;
  readonly peers: readonly ClusterNetworkPolicyEgressPeer[];
  readonly protocols?: readonly ClusterNetworkPolicyProtocol[] | undefined;
}

/** Of pods alone: those in the host's network have the node's identity, which lives in no namespace. */
function podsOf({ namespaces, pods }: ClusterNetworkPolicySubject): Selector {
  const scope = namespaces ?? pods?.namespaceSelector ?? {};
  const inNamespace: Requirement = { key: `k8s:${namespaceLabel}`, operator: "Exists", values: [] };
  return {
    requirements: [
      inNamespace,
      ...requirementsOf(scope, (key) => `k8s:${namespaceLabelsPrefix}${key}`),
      ...requirementsOf(pods?.podSelector ?? {}, (key) => `k8s:${key}`),
    ],
  };
}

interface Meaning {
  readonly peers?: readonly Peer[];
  readonly references?: readonly Reference[];
}

function meaning(
  { nodes, networks, domainNames, ...pods }: ClusterNetworkPolicyEgressPeer,
  { object, at }: { readonly object: unknown; readonly at: string },
): Meaning {
  if (domainNames) {
    const why = "needs the DNS proxy, which this version does not have";
    throw unsupported(objectName(object), `${at}.domainNames`, why);
  }
  if (networks)
    return { peers: networks.map((cidr) => ({ kind: "block", prefix: parsePrefix(cidr), except: [] })) };
  if (nodes) {
    const selector = { requirements: requirementsOf(nodes, (key) => `k8s:${key}`) };
    return { references: [{ kind: "node", of: { selector }, field: `${at}.nodes` }] };
  }
  return { peers: [{ kind: "selector", selector: podsOf(pods) }] };
}

function portsOf({ destinationNamedPort: name, ...transports }: ClusterNetworkPolicyProtocol): PortRange {
  if (name !== undefined) return { proto: 0, first: 0, last: 0, name };
  for (const [transport, proto] of Object.entries(protocols)) {
    const port = transports[transport as keyof typeof protocols]?.destinationPort;
    if (port?.range) return { proto, first: port.range.start, last: port.range.end };
    if (port?.number !== undefined) return { proto, first: port.number, last: port.number };
  }
  throw new RangeError("a protocol without port: the schema lets none through");
}
