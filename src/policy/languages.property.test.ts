// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { junk } from "#kit/junk.ts";
import fc from "#kit/property.ts";
import { WeftError } from "#lib/errors.ts";
import { cidrGroupRow } from "./from-cidr-group.ts";
import { compileCiliumPolicy } from "./from-cilium.ts";
import { compileClusterNetworkPolicy } from "./from-cluster-network-policy.ts";
import { compileNetworkPolicy } from "./from-network-policy.ts";

const words = [
  "podSelector namespaceSelector ipBlock cidr except ports port endPort protocol from to ingress egress policyTypes",
  "endpointSelector matchLabels matchExpressions key operator values fromEndpoints toCIDRSet toEntities toPorts icmps fields",
  "subject namespaces pods nodes networks domainNames protocols tcp destinationPort number range destinationNamedPort",
  "family type rules http dns enableDefaultDeny ingressDeny nodeSelector toServices k8sService toFQDNs matchName matchPattern",
]
  .join(" ")
  .split(" ");
const scalars = ["TCP", "In", "Exists", "10.0.0.0/8", "::/0", "web", "80", "all", "Ingress", "Admin", "Deny"];
const value = junk(words, scalars);

test("whatever is in a manifest, it compiles or is refused with a code and a place", () => {
  const languages = [
    { compile: compileNetworkPolicy, apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" },
    { compile: compileCiliumPolicy, apiVersion: "cilium.io/v2", kind: "CiliumNetworkPolicy" },
    { compile: compileCiliumPolicy, apiVersion: "cilium.io/v2", kind: "CiliumClusterwideNetworkPolicy" },
    {
      compile: compileClusterNetworkPolicy,
      apiVersion: "policy.networking.k8s.io/v1alpha2",
      kind: "ClusterNetworkPolicy",
    },
  ];
  const list = fc.array(value, { maxLength: 2 });
  const spec = fc.record(
    {
      ...{ podSelector: value, endpointSelector: value, subject: value, tier: value, priority: value },
      ...{ nodeSelector: value, ingress: list, egress: list, ingressDeny: list },
    },
    { requiredKeys: [] },
  );
  const cases = fc.property(
    fc.constantFrom(...languages),
    fc.oneof(spec, value),
    ({ compile, apiVersion, kind }, body) => {
      try {
        const rules = compile({ apiVersion, kind, metadata: { name: "p", namespace: "n" }, spec: body });
        for (const { ports } of rules) {
          for (const { first, last } of ports ?? []) assert.ok(0 <= first && first <= last && last <= 65535);
        }
      } catch (error) {
        assert.ok(error instanceof WeftError, String(error));
        assert.ok(["E_MANIFEST", "E_POLICY_UNSUPPORTED"].includes(error.code), error.code);
        assert.match(error.message, /^\w+ (n\/)?p?: ?\S|^\w+ n\/p: \S/);
        assert.ok(!error.message.includes("Invalid"), error.message);
      }
    },
  );
  fc.assert(cases, { numRuns: 3000 });
});

test("whatever is in a CIDR group, it is a row or refused with a field", () => {
  const groups = fc.oneof(value, fc.record({ externalCIDRs: fc.oneof(fc.array(value), value) }));
  const property = fc.property(groups, (spec) => {
    try {
      const { prefixes } = cidrGroupRow({ metadata: { name: "g" }, spec });
      assert.ok(prefixes.every((prefix) => prefix.includes("/")));
    } catch (error) {
      assert.ok(error instanceof WeftError && error.code === "E_MANIFEST", String(error));
      assert.match(error.message, /^CiliumCIDRGroup g: spec/);
    }
  });
  fc.assert(property, { numRuns: 1000 });
});

test("names that no domain can have are refused, long ones too", () => {
  const policy = (selector: object) => ({
    ...{ apiVersion: "cilium.io/v2", kind: "CiliumNetworkPolicy", metadata: { name: "p", namespace: "n" } },
    spec: { endpointSelector: {}, egress: [{ toFQDNs: [selector] }] },
  });
  for (const name of ["", ".", "a..b", ".a", `${"a".repeat(200)}!`, `${"a.".repeat(100)}.`]) {
    for (const field of ["matchName", "matchPattern"])
      assert.throws(() => compileCiliumPolicy(policy({ [field]: name })), /toFQDNs\[0\]\.match/, name);
  }
  for (const name of ["a", "a.b", "a.b.", "_x-1.example"])
    assert.throws(() => compileCiliumPolicy(policy({ matchName: name })), /toFQDNs: needs a proxy/, name);
});
