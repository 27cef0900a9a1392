// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { egressPolicyRow } from "#egress/policy.ts";
import { selectorText } from "#policy/selector.ts";

const whole = `
apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata:
  name: legacy
  creationTimestamp: "2026-01-02T03:04:05Z"
spec:
  selectors:
    - podSelector:
        matchLabels:
          app: billing
          io.kubernetes.pod.namespace: shop
      nodeSelector:
        matchExpressions:
          - {key: topology.kubernetes.io/zone, operator: NotIn, values: [b]}
    - namespaceSelector:
        matchLabels: {team: payments}
  destinationCIDRs: [192.0.2.0/24, 192.0.2.7/24, "2001:db8::/32"]
  excludedCIDRs: [192.0.2.128/25]
  egressGateway:
    nodeSelector:
      matchLabels: {gateway: "yes"}
    egressIP: 198.51.100.10
`;

const of = (change: (spec: Record<string, unknown>) => void) => {
  const object = parse(whole) as { spec: Record<string, unknown> };
  change(object.spec);
  return egressPolicyRow(object as object);
};

test("every field of a policy", () => {
  const row = egressPolicyRow(parse(whole));
  assert.deepEqual([row.name, row.createdMs], ["legacy", Date.UTC(2026, 0, 2, 3, 4, 5)]);
  assert.deepEqual(
    row.selectors.map(({ pods, nodes }) => [selectorText(pods), nodes && selectorText(nodes)]),
    [
      ["any:app=billing, any:io.kubernetes.pod.namespace=shop", "k8s:topology.kubernetes.io/zone notin (b)"],
      ["k8s:io.cilium.k8s.namespace.labels.team=payments", undefined],
    ],
  );
  assert.deepEqual(row.destinations, ["192.0.2.0/24", "2001:db8::/32"]);
  assert.deepEqual(row.excluded, ["192.0.2.128/25"]);
  assert.deepEqual(
    row.gateways.map(({ nodes, ...more }) => [selectorText(nodes), more]),
    [["k8s:gateway=yes", { address: "198.51.100.10" }]],
  );
});

test("a list of gateways stands in place of the one", () => {
  const nodeSelector = (zone: string) => ({ matchLabels: { zone } });
  const row = of((spec) => {
    spec["egressGateways"] = [
      { nodeSelector: nodeSelector("a"), interface: "eth1" },
      { nodeSelector: nodeSelector("b") },
    ];
  });
  assert.deepEqual(
    row.gateways.map(({ nodes, ...more }) => [selectorText(nodes), more]),
    [
      ["k8s:zone=a", { interface: "eth1" }],
      ["k8s:zone=b", {}],
    ],
  );
  assert.equal(of((spec) => (spec["egressGateways"] = [])).gateways[0]?.address, "198.51.100.10");
});

test("what is wrong is said with its place", () => {
  const gateway = { nodeSelector: { matchLabels: { gateway: "yes" } } };
  const broken: [(spec: Record<string, unknown>) => void, RegExp][] = [
    [(spec) => delete spec["destinationCIDRs"], /spec\.destinationCIDRs: is required/],
    [(spec) => delete spec["selectors"], /spec\.selectors: is required/],
    [(spec) => delete spec["egressGateway"], /spec\.egressGateway: is required/],
    [(spec) => (spec["egressGateway"] = {}), /spec\.egressGateway\.nodeSelector: is required/],
    [(spec) => (spec["destinationCIDRs"] = ["192.0.2.0"]), /destinationCIDRs\[0\]: .*no.* a CIDR prefix/],
    [(spec) => (spec["excludedCIDRs"] = ["192.0.2.0/40"]), /excludedCIDRs\[0\]/],
    [
      (spec) => (spec["egressGateway"] = { ...gateway, egressIP: "192.0.2.1", interface: "eth1" }),
      /egressGateway\.egressIP: and interface exclude each other/,
    ],
    [
      (spec) => (spec["egressGateway"] = { ...gateway, egressIP: "one" }),
      /egressIP: "one" is not an IP address/,
    ],
    [(spec) => (spec["selectors"] = [{ nodeSelector: {} }]), /selectors\[0\]: needs podSelector/],
    [
      (spec) => (spec["selectors"] = [{ podSelector: { matchLabels: { "a b": "c" } } }]),
      /is not a label key/,
    ],
    [(spec) => (spec["gateway"] = {}), /spec\.gateway: unknown field/],
  ];
  for (const [change, said] of broken) assert.throws(() => of(change), said);
});
