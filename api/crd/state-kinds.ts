// SPDX-License-Identifier: Apache-2.0
import { ciliumEndpointStatus, coreCiliumEndpoint } from "./cilium-endpoint.ts";
import { ciliumNodeSpec, ciliumNodeStatus } from "./cilium-node.ts";
import { age, type Kind, objectSchema } from "./definition.ts";
import { nodePolicy, nodePolicySummary } from "./node-policy-status.ts";
import { structural } from "./structural.ts";

/** What agents and operator tell one another: written by them alone. */
export const stateKinds: readonly Kind[] = [
  {
    kind: "CiliumIdentity",
    plural: "ciliumidentities",
    scope: "Cluster",
    shortNames: ["ciliumid"],
    categories: ["cilium"],
    schema: objectSchema(
      { "security-labels": { type: "object", additionalProperties: { type: "string" } } },
      ["security-labels"],
    ),
    status: true,
    columns: [
      {
        name: "Namespace",
        type: "string",
        jsonPath: ".metadata.labels.io\\.kubernetes\\.pod\\.namespace",
        description: "The namespace of the entity",
      },
      { ...age, description: "Time since the identity was made" },
    ],
  },
  {
    kind: "CiliumEndpoint",
    plural: "ciliumendpoints",
    scope: "Namespaced",
    shortNames: ["cep", "ciliumep"],
    categories: ["cilium"],
    schema: objectSchema({ status: structural(ciliumEndpointStatus) }),
    // As Cilium has it: agents write the status with the object.
    status: false,
    columns: [
      { name: "Security Identity", type: "integer", jsonPath: ".status.identity.id" },
      {
        name: "Ingress Enforcement",
        type: "boolean",
        jsonPath: ".status.policy.ingress.enforcing",
        priority: 1,
      },
      {
        name: "Egress Enforcement",
        type: "boolean",
        jsonPath: ".status.policy.egress.enforcing",
        priority: 1,
      },
      { name: "Endpoint State", type: "string", jsonPath: ".status.state" },
      { name: "IPv4", type: "string", jsonPath: ".status.networking.addressing[0].ipv4" },
      { name: "IPv6", type: "string", jsonPath: ".status.networking.addressing[0].ipv6" },
    ],
  },
  {
    kind: "CiliumEndpointSlice",
    version: "v2alpha1",
    plural: "ciliumendpointslices",
    scope: "Cluster",
    shortNames: ["ces"],
    categories: ["cilium"],
    schema: objectSchema(
      {
        namespace: { type: "string", description: "Namespace of all the endpoints" },
        endpoints: { type: "array", items: structural(coreCiliumEndpoint) },
      },
      ["endpoints"],
    ),
    status: false,
    columns: [
      {
        name: "Namespace",
        type: "string",
        jsonPath: ".namespace",
        description: "Namespace of all the endpoints",
      },
      age,
    ],
  },
  {
    kind: "CiliumNode",
    plural: "ciliumnodes",
    scope: "Cluster",
    shortNames: ["cn", "ciliumn"],
    categories: ["cilium"],
    schema: objectSchema({ spec: structural(ciliumNodeSpec), status: structural(ciliumNodeStatus) }, [
      "spec",
    ]),
    status: true,
    columns: [
      {
        name: "CiliumInternalIP",
        type: "string",
        jsonPath: '.spec.addresses[?(@.type=="CiliumInternalIP")].ip',
        description: "Address of the node in the pods' network",
      },
      {
        name: "InternalIP",
        type: "string",
        jsonPath: '.spec.addresses[?(@.type=="InternalIP")].ip',
        description: "Address of the node",
      },
      age,
    ],
  },
  {
    kind: "NodePolicyStatus",
    group: "weft.io",
    version: "v1alpha1",
    plural: "nodepolicystatuses",
    scope: "Cluster",
    shortNames: ["nps"],
    categories: [],
    schema: objectSchema(
      {
        summary: structural(nodePolicySummary),
        policies: { type: "array", items: structural(nodePolicy) },
      },
      ["summary", "policies"],
    ),
    // Agents write what they say with the object, as with a CiliumEndpoint.
    status: false,
    columns: [
      { name: "Policies", type: "integer", jsonPath: ".summary.policies" },
      { name: "Refused", type: "integer", jsonPath: ".summary.refused" },
      { name: "Entries", type: "integer", jsonPath: ".summary.entries" },
      age,
    ],
  },
];
