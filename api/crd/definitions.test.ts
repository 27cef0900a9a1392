// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { hash32 } from "#lib/hash.ts";
import { crdSchemaVersion } from "./definition.ts";
import { customResourceDefinitions } from "./definitions.ts";

function find(kind: string) {
  const found = customResourceDefinitions.find(({ spec }) => spec.names.kind === kind);
  assert.ok(found, kind);
  return found;
}

/** Calls back for every schema inside a schema. */
function visit(
  schema: unknown,
  path: string,
  callback: (schema: Record<string, unknown>, path: string) => void,
): void {
  if (typeof schema !== "object" || schema === null) return;
  const node = schema as Record<string, unknown>;
  callback(node, path);
  visit(node.items, `${path}[]`, callback);
  visit(node.additionalProperties, `${path}.*`, callback);
  for (const [name, child] of Object.entries((node.properties as object | undefined) ?? {}))
    visit(child, `${path}.${name}`, callback);
}

test("the kinds have the names that clients ask for", () => {
  const names = customResourceDefinitions.map(({ metadata, spec }) =>
    [metadata.name, spec.scope, ...spec.names.shortNames].join(" "),
  );
  assert.deepEqual(names, [
    "ciliumnetworkpolicies.cilium.io Namespaced cnp ciliumnp",
    "ciliumclusterwidenetworkpolicies.cilium.io Cluster ccnp",
    "ciliumcidrgroups.cilium.io Cluster ccg",
    "clusternetworkpolicies.policy.networking.k8s.io Cluster clusternp",
    "ciliumloadbalancerippools.cilium.io Cluster ippools ippool lbippool lbippools",
    "ciliuml2announcementpolicies.cilium.io Cluster l2announcement",
    "ciliumlocalredirectpolicies.cilium.io Namespaced clrp",
    "ciliumegressgatewaypolicies.cilium.io Cluster cegp",
    "ciliumidentities.cilium.io Cluster ciliumid",
    "ciliumendpoints.cilium.io Namespaced cep ciliumep",
    "ciliumendpointslices.cilium.io Cluster ces",
    "ciliumnodes.cilium.io Cluster cn ciliumn",
    "nodepolicystatuses.weft.io Cluster nps",
  ]);
});

test("every schema is structural: typed, or open, or int-or-string, and never closed", () => {
  for (const definition of customResourceDefinitions) {
    visit(definition.spec.versions[0]!.schema.openAPIV3Schema, definition.spec.names.kind, (schema, path) => {
      const open = schema["x-kubernetes-preserve-unknown-fields"] === true;
      const either = schema["x-kubernetes-int-or-string"] === true;
      assert.ok(typeof schema.type === "string" || open || either, `${path} has no type`);
      assert.notEqual(schema.additionalProperties, false, path);
      for (const word of ["oneOf", "allOf", "not", "$ref", "propertyNames", "$schema"])
        assert.ok(!(word in schema), `${path}: ${word}`);
      if (!either) assert.ok(!("anyOf" in schema), `${path}: anyOf`);
      if (schema.type === "integer") assert.ok(Number(schema.maximum ?? 0) < 2 ** 53 - 1, path);
    });
  }
});

test("a policy's schema has the fields of the kind", () => {
  const paths = new Set<string>();
  visit(find("CiliumNetworkPolicy").spec.versions[0]!.schema.openAPIV3Schema, "", (_, path) =>
    paths.add(path),
  );
  for (const path of [
    ".spec.egress[].toFQDNs[].matchPattern",
    ".spec.ingress[].fromEndpoints[].matchLabels.*",
    ".spec.ingressDeny[].toPorts[].ports[].endPort",
    ".spec.egress[].toPorts[].rules.http[].headerMatches[].mismatch",
    ".spec.enableDefaultDeny.egress",
    ".specs[].egressDeny[].toCIDRSet[].except[]",
    ".status.conditions[].type",
  ]) {
    assert.ok(paths.has(path), path);
  }
});

test("endpoints, slices and nodes have the fields that agents and users read", () => {
  const expected: Readonly<Record<string, readonly string[]>> = {
    CiliumEndpoint: [
      ".status.identity.labels[]",
      ".status.networking.addressing[].ipv6",
      ".status.named-ports[].protocol",
      ".status.policy.egress.denied[].identity-labels.*",
      ".status.external-identifiers.cni-attachment-id",
    ],
    CiliumEndpointSlice: [
      ".namespace",
      ".endpoints[].id",
      ".endpoints[].networking.node",
      ".endpoints[].pod-uid",
    ],
    CiliumNode: [
      ".spec.addresses[].ip",
      ".spec.ipam.podCIDRs[]",
      ".spec.ipam.pools.allocated[].cidrs[]",
      ".status.ipam.operator-status.error",
      ".status.ipam.pod-cidrs.*.status",
    ],
  };
  for (const [kind, wanted] of Object.entries(expected)) {
    const paths = new Set<string>();
    visit(find(kind).spec.versions[0]!.schema.openAPIV3Schema, "", (_, path) => paths.add(path));
    for (const path of wanted) assert.ok(paths.has(path), `${kind}${path}`);
  }
});

test("a changed schema has a new version: an operator replaces only what is older", () => {
  const hash = hash32(JSON.stringify(customResourceDefinitions)).toString(16);
  assert.deepEqual(
    [crdSchemaVersion, hash],
    ["1.8.1", "8464e1a3"],
    "raise crdSchemaVersion and write down the new hash",
  );
});
