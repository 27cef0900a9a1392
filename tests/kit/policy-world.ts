// SPDX-License-Identifier: Apache-2.0

import type { Identity } from "#identities/identity.ts";
import fc from "#kit/property.ts";
import { parsePrefix } from "#model/ip.ts";
import { parseLabels } from "#model/labels.ts";
import type { NamedPort, Peer, PortRange, Rule } from "#policy/rule.ts";

/** A small world in which random rules often meet: identities of every scope, and rules about them. */

export interface WorldIdentity extends Identity {
  readonly ports: readonly NamedPort[];
}

const pod = (id: number, namespace: string, app: string, web: number | undefined): WorldIdentity => ({
  id,
  labels: parseLabels([
    `k8s:app=${app}`,
    `k8s:io.kubernetes.pod.namespace=${namespace}`,
    `k8s:io.cilium.k8s.namespace.labels.team=${namespace}`,
  ]),
  ports: web === undefined ? [] : [{ name: "web", port: web, proto: 6 }],
});

const cidr = (id: number, ...labels: string[]): WorldIdentity => ({
  id,
  labels: parseLabels([...labels, "reserved:world"]),
  ports: [],
});

export const worldIdentities: readonly WorldIdentity[] = [
  { id: 1, labels: parseLabels(["reserved:host"]), ports: [] },
  { id: 2, labels: parseLabels(["reserved:world"]), ports: [] },
  { id: 6, labels: parseLabels(["reserved:remote-node"]), ports: [] },
  pod(1000, "shop", "web", 8080),
  pod(1001, "shop", "db", 81),
  pod(1002, "lab", "web", 8081),
  pod(1003, "lab", "db", undefined),
  cidr(0x01000001, "cidr:10.0.0.0/8"),
  cidr(0x01000002, "cidr:10.0.0.0/8", "cidr:10.1.0.0/16"),
  cidr(0x01000003, "cidr:fd00::/8"),
];

const block = (id: number, ...labels: string[]): WorldIdentity => ({
  id,
  labels: parseLabels(labels),
  ports: [],
});

/** Of the prefixes that blocks name: what an address has beside an identity. */
export const worldBlocks: readonly WorldIdentity[] = [
  block(0x03000001, "block:0.0.0.0/0", "block:10.0.0.0/8"),
  block(0x03000002, "block:0.0.0.0/0", "block:10.0.0.0/8", "block:10.1.0.0/16"),
  block(0x03000003, "block:0.0.0.0/0"),
];

/** The endpoint the rules are about, and its named ports. */
export const worldSubject = {
  labels: parseLabels(["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"]),
  ports: [
    { name: "web", port: 8080, proto: 6 },
    { name: "dns", port: 53, proto: 17 },
  ] satisfies NamedPort[],
};

const selectorPeer = fc
  .record({
    key: fc.constantFrom("k8s:app", "any:app", "k8s:io.kubernetes.pod.namespace"),
    operator: fc.constantFrom("In", "NotIn", "Exists", "DoesNotExist"),
    values: fc.subarray(["web", "db", "shop", "lab"], { minLength: 1 }),
  })
  .map((requirement): Peer => ({ kind: "selector", selector: { requirements: [requirement] } }));

const cidrPeer = fc.constantFrom<Peer>(
  { kind: "cidr", prefix: parsePrefix("10.0.0.0/8"), except: [] },
  { kind: "cidr", prefix: parsePrefix("10.0.0.0/8"), except: [parsePrefix("10.1.0.0/16")] },
  { kind: "cidr", prefix: parsePrefix("10.1.0.0/16"), except: [] },
  { kind: "cidr", prefix: parsePrefix("0.0.0.0/0"), except: [] },
);

const blockPeer = fc.constantFrom<Peer>(
  { kind: "block", prefix: parsePrefix("10.0.0.0/8"), except: [] },
  { kind: "block", prefix: parsePrefix("10.0.0.0/8"), except: [parsePrefix("10.1.0.0/16")] },
  { kind: "block", prefix: parsePrefix("10.1.0.0/16"), except: [] },
  { kind: "block", prefix: parsePrefix("0.0.0.0/0"), except: [] },
);

const entityPeer = fc
  .constantFrom("all", "world", "world-ipv4", "world-ipv6", "cluster", "host", "remote-node", "none")
  .map((entity): Peer => ({ kind: "entity", entity }));

/** Ports near each other and near the borders of prefixes, so that rules overlap. */
export const worldPort = fc.oneof(
  fc.constantFrom(0, 1, 52, 53, 54, 79, 80, 81, 82, 8079, 8080, 8081, 32767, 32768, 65534, 65535),
  fc.nat(65535),
);

const range = fc.tuple(fc.constantFrom(6, 17, 132, 1, 0), worldPort, worldPort, fc.boolean()).map(
  ([proto, a, b, single]): PortRange => ({
    proto,
    first: single ? a : Math.min(a, b),
    last: single ? a : Math.max(a, b),
  }),
);

const portRange = fc.oneof(
  { weight: 6, arbitrary: range },
  {
    weight: 1,
    arbitrary: fc.constantFrom(6, 17, 0).map((proto): PortRange => ({ proto, first: 0, last: 65535 })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(6, 17, 0), fc.constantFrom("web", "dns"))
      .map(([proto, name]): PortRange => ({ proto, first: 0, last: 0, name })),
  },
);

const body = {
  direction: fc.constantFrom("ingress", "egress"),
  peers: fc.option(fc.array(fc.oneof(selectorPeer, cidrPeer, blockPeer, entityPeer), { maxLength: 2 }), {
    nil: undefined,
  }),
  ports: fc.option(fc.array(portRange, { maxLength: 3 }), { nil: undefined }),
  defaultDeny: fc.boolean(),
  audit: fc.constantFrom(undefined, undefined, true as const),
} as const;

const place = fc.oneof(
  fc.record({
    tier: fc.constant("normal" as const),
    priority: fc.constant(0),
    action: fc.constantFrom("allow", "allow", "deny"),
  }),
  fc.record({
    tier: fc.constantFrom("admin", "baseline"),
    priority: fc.nat(2),
    action: fc.constantFrom("allow", "deny", "pass"),
  }),
);

/** Rules of one object each, all of them about {@link worldSubject}. */
export const worldRules = fc.array(fc.tuple(fc.record(body), place), { maxLength: 6 }).map((list) =>
  list.map(
    ([{ audit, ...what }, where], index): Rule => ({
      origin: { kind: "Test", namespace: "shop", name: `rule-${index}`, uid: "", index: 0 },
      subject: { requirements: [] },
      ...what,
      ...where,
      ...(audit && { audit }),
    }),
  ),
);
