// SPDX-License-Identifier: Apache-2.0
import fc from "#kit/property.ts";
import { ciliumSpec, nodeSpec } from "./generate-cilium.ts";
import { namespaces } from "./generate-cluster.ts";
import {
  block,
  cidr,
  few,
  nodeSelector,
  podSelector,
  portName,
  portNumber,
  spaceSelector,
} from "./generate-selectors.ts";
import type { Bag, Manifest } from "./oracle/cluster.ts";

/** Random policies of every language, by kind; each is valid. */

type Spec = Omit<Manifest, "metadata"> & { readonly namespace?: string };

const networkPort = fc.oneof(
  fc.record({ protocol: fc.constantFrom("TCP", "UDP", "SCTP") }),
  fc.record({ port: portName, protocol: fc.constantFrom("TCP", "UDP", "SCTP") }),
  fc.record({
    port: fc.constant(79),
    endPort: fc.constantFrom(79, 80, 82, 65535),
    protocol: fc.constantFrom("TCP", "UDP"),
  }),
  fc.record({ port: portNumber }),
  fc.record({ port: portNumber, protocol: fc.constantFrom("TCP", "UDP", "SCTP") }),
);

const networkPeer = fc.oneof(
  fc.record({ podSelector }),
  fc.record({ namespaceSelector: spaceSelector }),
  fc.record({ namespaceSelector: spaceSelector, podSelector }),
  fc.record({ ipBlock: block }),
);

const networkRules = (field: "from" | "to") =>
  fc.array(
    fc.record(
      { [field]: fc.array(networkPeer, { maxLength: 2 }), ports: fc.array(networkPort, { maxLength: 2 }) },
      { requiredKeys: [] },
    ),
    { maxLength: 2 },
  );

const networkPolicy: fc.Arbitrary<Spec> = fc
  .record({
    namespace: fc.constantFrom(...namespaces),
    spec: fc.record(
      {
        podSelector,
        policyTypes: fc.constantFrom(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
        ingress: networkRules("from"),
        egress: networkRules("to"),
      },
      { requiredKeys: ["podSelector"] },
    ),
  })
  .map((rest) => ({ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", ...rest }));

const ciliumPolicy: fc.Arbitrary<Spec> = fc
  .record({
    namespace: fc.option(fc.constantFrom(...namespaces), { nil: undefined, freq: 3 }),
    parts: fc.oneof(
      { weight: 4, arbitrary: fc.tuple(ciliumSpec) },
      { weight: 1, arbitrary: fc.tuple(ciliumSpec, ciliumSpec) },
    ),
  })
  .map(({ namespace, parts }) => ({
    apiVersion: "cilium.io/v2",
    ...(namespace === undefined
      ? { kind: "CiliumClusterwideNetworkPolicy" }
      : { kind: "CiliumNetworkPolicy", namespace }),
    ...(parts.length === 1 ? { spec: parts[0] } : { specs: parts }),
  }));

/** About nodes, or about nodes and pods. */
const hostPolicy: fc.Arbitrary<Spec> = fc
  .oneof(
    { weight: 3, arbitrary: fc.tuple(nodeSpec) },
    { weight: 1, arbitrary: fc.tuple(nodeSpec, fc.oneof(nodeSpec, ciliumSpec)) },
  )
  .map((parts) => ({
    apiVersion: "cilium.io/v2",
    kind: "CiliumClusterwideNetworkPolicy",
    ...(parts.length === 1 ? { spec: parts[0] } : { specs: parts }),
  }));

const podsOf = fc.oneof(
  fc.constant({ namespaces: {} }),
  fc.record({ namespaces: spaceSelector }),
  fc.record({ pods: fc.record({ namespaceSelector: spaceSelector, podSelector }) }),
);

const protocol = fc.oneof(
  fc
    .constantFrom("tcp", "udp", "sctp")
    .chain((name) => fc.record({ [name]: fc.record({ destinationPort: tierPort() }) })),
  fc.record({ destinationNamedPort: portName }),
);

function tierPort() {
  return fc.oneof(
    fc.record({ number: portNumber }),
    fc.record({ range: fc.record({ start: fc.constant(79), end: fc.constantFrom(80, 82, 65535) }) }),
  );
}

const action = fc.constantFrom("Accept", "Deny", "Deny", "Pass");
const ingressRule = fc.record(
  { action, from: few(podsOf), protocols: few(protocol) },
  { requiredKeys: ["action", "from"] },
);
/** Peers without named ports can't stand beside a port's name. */
const egressRule = fc.oneof(
  fc.record({ action, to: few(podsOf), protocols: few(protocol) }, { requiredKeys: ["action", "to"] }),
  fc
    .record(
      {
        action,
        to: few(
          fc.oneof(
            podsOf,
            fc.record({ networks: fc.uniqueArray(cidr, { minLength: 1, maxLength: 3 }) }),
            fc.record({ nodes: nodeSelector }),
          ),
        ),
        protocols: few(protocol),
      },
      { requiredKeys: ["action", "to"] },
    )
    .map((rule) => {
      const numbers = (rule.protocols ?? []).filter((one) => !("destinationNamedPort" in one));
      const { protocols: _, ...rest } = rule;
      return numbers.length > 0 ? { ...rest, protocols: numbers } : rest;
    }),
);

const clusterPolicy: fc.Arbitrary<Spec> = fc
  .record({
    spec: fc.record({
      tier: fc.constantFrom("Admin", "Baseline"),
      priority: fc.constantFrom(0, 1, 2, 3, 500, 1000),
      subject: podsOf,
      ingress: fc.array(ingressRule, { maxLength: 4 }),
      egress: fc.array(egressRule, { maxLength: 4 }),
    }),
  })
  .map(({ spec }) => ({
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    spec: spec as Bag,
  }));

export const policyKinds = {
  NetworkPolicy: networkPolicy,
  Cilium: ciliumPolicy,
  ClusterNetworkPolicy: clusterPolicy,
  Host: hostPolicy,
};

/** Up to five policies, of these kinds. */
export function policies(kinds: readonly (keyof typeof policyKinds)[]): fc.Arbitrary<Manifest[]> {
  const policy = fc.oneof(...kinds.map((kind) => policyKinds[kind]));
  const audited = fc.oneof(
    { weight: 8, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  );
  return fc.array(fc.tuple(policy, audited), { minLength: 1, maxLength: 5 }).map((list) =>
    list.map(([{ namespace, ...rest }, inAudit], index) => {
      const annotations = { "weft.io/policy-audit": "true" };
      const named = { name: `policy-${index}`, ...(inAudit && { annotations }) };
      return { ...rest, metadata: namespace === undefined ? named : { ...named, namespace } };
    }),
  );
}
