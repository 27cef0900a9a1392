// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { WeftError } from "#lib/errors.ts";
import { compileCiliumPolicy } from "./from-cilium.ts";
import { compileClusterNetworkPolicy } from "./from-cluster-network-policy.ts";
import { compileNetworkPolicy } from "./from-network-policy.ts";

/** Values of every shape, made of words that the schemas know, so that many get deep before they are wrong. */
const words = [
  "podSelector namespaceSelector ipBlock cidr except ports port endPort protocol from to ingress egress policyTypes",
  "endpointSelector matchLabels matchExpressions key operator values fromEndpoints toCIDRSet toEntities toPorts icmps fields",
  "subject namespaces pods nodes networks domainNames protocols tcp destinationPort number range destinationNamedPort",
  "family type rules http dns enableDefaultDeny ingressDeny __proto__ constructor toString",
]
  .join(" ")
  .split(" ");
const scalars = fc.constantFrom<unknown>(
  "TCP",
  "In",
  "Exists",
  "10.0.0.0/8",
  "::/0",
  "web",
  "80",
  80,
  -1,
  1.5,
  "",
  "all",
  true,
  null,
  undefined,
  "Ingress",
  "Admin",
  "Deny",
);
const value = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    scalars,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...words), tie("value"), { maxKeys: 4 }),
  ),
})).value;

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
      ...{ ingress: list, egress: list, ingressDeny: list },
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
        assert.ok(!error.message.includes("Invalid input"), error.message);
      }
    },
  );
  fc.assert(cases, { numRuns: 3000 });
});
