// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { cidrGroupSpec } from "./cilium-cidr-group.ts";
import { egressGatewaySpec } from "./cilium-egress-gateway-policy.ts";
import { ciliumEndpointStatus, coreCiliumEndpoint } from "./cilium-endpoint.ts";
import { l2AnnouncementPolicySpec } from "./cilium-l2-announcement-policy.ts";
import { loadBalancerIpPoolSpec } from "./cilium-load-balancer-ip-pool.ts";
import { localRedirectSpec } from "./cilium-local-redirect-policy.ts";
import { ciliumRule } from "./cilium-network-policy.ts";
import { ciliumNodeSpec, ciliumNodeStatus } from "./cilium-node.ts";
import { clusterNetworkPolicySpec } from "./cluster-network-policy.ts";
import { nodePolicy, nodePolicySummary } from "./node-policy-status.ts";
import { type JsonSchema, structural } from "./structural.ts";

/** A CustomResourceDefinition of apiextensions.k8s.io/v1, as far as these use it. */
export interface CustomResourceDefinition {
  readonly apiVersion: "apiextensions.k8s.io/v1";
  readonly kind: "CustomResourceDefinition";
  readonly metadata: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly group: string;
    readonly scope: "Namespaced" | "Cluster";
    readonly names: {
      readonly kind: string;
      readonly listKind: string;
      readonly plural: string;
      readonly singular: string;
      readonly shortNames: readonly string[];
      readonly categories: readonly string[];
    };
    readonly versions: readonly {
      readonly name: string;
      readonly served: boolean;
      readonly storage: boolean;
      readonly schema: { readonly openAPIV3Schema: JsonSchema };
      readonly subresources?: { readonly status: Readonly<Record<string, never>> };
      readonly additionalPrinterColumns: readonly PrinterColumn[];
    }[];
  };
}

interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly jsonPath: string;
  readonly description?: string;
  readonly priority?: number;
}

interface Kind {
  readonly kind: string;
  /** Default: cilium.io. */
  readonly group?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly version?: string;
  readonly plural: string;
  readonly scope: "Namespaced" | "Cluster";
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly schema: JsonSchema;
  readonly status: boolean;
  readonly columns: readonly PrinterColumn[];
}

/** Carries {@link crdSchemaVersion} on a definition in the cluster. */
export const crdVersionLabel = "weft.io/crd-schema-version";

/** On the definition of a kind of policy.networking.k8s.io: the release of sigs.k8s.io/network-policy-api it is of. */
export const policyApiBundleAnnotation = "policy.networking.k8s.io/bundle-version";

/**
 * Version of all schemas here; an operator replaces what carries an older one and leaves a newer one alone. A change of any schema
 * raises it: the last part for what old objects fit into, the first for what they do not.
 */
export const crdSchemaVersion = "1.8.0";

const condition = z.looseObject({ type: z.string(), status: z.string() });
const byType = { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] };
/** Agents and operator each say conditions of their own. */
const policyStatus = z.looseObject({ conditions: z.array(condition).meta(byType).optional() });

const policySchema = objectSchema(
  {
    spec: structural(ciliumRule),
    specs: { type: "array", items: structural(ciliumRule) },
    status: structural(policyStatus),
  },
  [],
  {
    "x-kubernetes-validations": [
      { rule: "has(self.spec) || has(self.specs)", message: "needs spec or specs" },
    ],
  },
);

/** A condition as Kubernetes' own API machinery has it (metav1.Condition). */
const fullCondition = z.strictObject({
  type: z.string().max(316),
  status: z.enum(["True", "False", "Unknown"]),
  observedGeneration: z.int().min(0).optional(),
  lastTransitionTime: z.string().meta({ format: "date-time" }),
  reason: z.string().min(1).max(1024),
  message: z.string().max(32768),
});
const clusterNetworkPolicyStatus = z.strictObject({
  conditions: z.array(fullCondition).meta(byType),
});

const conditionsStatus = z.strictObject({
  conditions: z
    .array(fullCondition)
    .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] })
    .optional(),
});

const age: PrinterColumn = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };
const valid: PrinterColumn = {
  name: "Valid",
  type: "string",
  jsonPath: ".status.conditions[?(@.type=='Valid')].status",
};
const enforced: PrinterColumn = {
  name: "Enforced",
  type: "string",
  jsonPath: ".status.conditions[?(@.type=='weft.io/Enforced')].status",
};

const kinds: readonly Kind[] = [
  {
    kind: "CiliumNetworkPolicy",
    plural: "ciliumnetworkpolicies",
    scope: "Namespaced",
    shortNames: ["cnp", "ciliumnp"],
    categories: ["cilium", "ciliumpolicy"],
    schema: policySchema,
    status: true,
    columns: [age, valid, enforced],
  },
  {
    kind: "CiliumClusterwideNetworkPolicy",
    plural: "ciliumclusterwidenetworkpolicies",
    scope: "Cluster",
    shortNames: ["ccnp"],
    categories: ["cilium", "ciliumpolicy"],
    schema: policySchema,
    status: true,
    columns: [age, valid, enforced],
  },
  {
    kind: "CiliumCIDRGroup",
    plural: "ciliumcidrgroups",
    scope: "Cluster",
    shortNames: ["ccg"],
    categories: ["cilium"],
    schema: objectSchema({ spec: structural(cidrGroupSpec) }, ["spec"]),
    status: false,
    columns: [age],
  },
  {
    kind: "CiliumLocalRedirectPolicy",
    plural: "ciliumlocalredirectpolicies",
    scope: "Namespaced",
    shortNames: ["clrp"],
    categories: ["cilium", "ciliumpolicy"],
    schema: objectSchema(
      {
        spec: structural(localRedirectSpec),
        status: { type: "object", properties: { ok: { type: "boolean" } } },
      },
      ["spec"],
    ),
    status: false,
    columns: [age],
  },
  {
    kind: "CiliumEgressGatewayPolicy",
    plural: "ciliumegressgatewaypolicies",
    scope: "Cluster",
    shortNames: ["cegp"],
    categories: ["cilium", "ciliumpolicy"],
    schema: objectSchema({ spec: structural(egressGatewaySpec) }, ["spec"]),
    status: false,
    columns: [age],
  },
  {
    kind: "ClusterNetworkPolicy",
    group: "policy.networking.k8s.io",
    version: "v1alpha2",
    // What the Kubernetes project calls its definition of the kind, and asks of everything in its groups.
    annotations: {
      "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/network-policy-api/pull/347",
      [policyApiBundleAnnotation]: "v0.2.0",
      "policy.networking.k8s.io/channel": "experimental",
    },
    plural: "clusternetworkpolicies",
    scope: "Cluster",
    // Its own is cnp, which CiliumNetworkPolicy has had for longer: `kubectl get cnp` goes on to mean one kind.
    shortNames: ["clusternp"],
    categories: [],
    schema: objectSchema(
      { spec: structural(clusterNetworkPolicySpec), status: structural(clusterNetworkPolicyStatus) },
      ["spec"],
    ),
    status: true,
    columns: [
      { name: "Tier", type: "string", jsonPath: ".spec.tier" },
      { name: "Priority", type: "string", jsonPath: ".spec.priority" },
      age,
      valid,
      enforced,
    ],
  },
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
    kind: "CiliumLoadBalancerIPPool",
    plural: "ciliumloadbalancerippools",
    scope: "Cluster",
    shortNames: ["ippools", "ippool", "lbippool", "lbippools"],
    categories: ["cilium"],
    schema: objectSchema({ spec: structural(loadBalancerIpPoolSpec), status: structural(conditionsStatus) }, [
      "spec",
    ]),
    status: true,
    columns: [
      { name: "Disabled", type: "boolean", jsonPath: ".spec.disabled" },
      {
        name: "Conflicting",
        type: "string",
        jsonPath: '.status.conditions[?(@.type=="cilium.io/PoolConflict")].status',
      },
      {
        name: "IPs Available",
        type: "string",
        jsonPath: '.status.conditions[?(@.type=="cilium.io/IPsAvailable")].message',
      },
      age,
    ],
  },
  {
    kind: "CiliumL2AnnouncementPolicy",
    version: "v2alpha1",
    plural: "ciliuml2announcementpolicies",
    scope: "Cluster",
    shortNames: ["l2announcement"],
    categories: ["cilium"],
    schema: objectSchema({
      spec: structural(l2AnnouncementPolicySpec),
      status: structural(conditionsStatus),
    }),
    status: true,
    columns: [valid, age],
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

/** The kinds that Weft serves and reads, ready to be applied to an API server. */
export const customResourceDefinitions: readonly CustomResourceDefinition[] = kinds.map(definitionOf);

function objectSchema(
  properties: Readonly<Record<string, JsonSchema>>,
  required: readonly string[] = [],
  more: JsonSchema = {},
): JsonSchema {
  const common = { apiVersion: { type: "string" }, kind: { type: "string" }, metadata: { type: "object" } };
  return {
    type: "object",
    properties: { ...common, ...properties },
    required: ["metadata", ...required],
    ...more,
  };
}

function definitionOf(kind: Kind): CustomResourceDefinition {
  const { group = "cilium.io", annotations } = kind;
  const singular = kind.kind.toLowerCase();
  const version = {
    name: kind.version ?? "v2",
    served: true,
    storage: true,
    schema: { openAPIV3Schema: kind.schema },
    ...(kind.status && { subresources: { status: {} } }),
    additionalPrinterColumns: kind.columns,
  };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${kind.plural}.${group}`,
      labels: { [crdVersionLabel]: crdSchemaVersion },
      ...(annotations && { annotations }),
    },
    spec: {
      group,
      scope: kind.scope,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular,
        shortNames: kind.shortNames,
        categories: kind.categories,
      },
      versions: [version],
    },
  };
}
