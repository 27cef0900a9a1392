// SPDX-License-Identifier: Apache-2.0
import { cidrGroupSpec } from "./cilium-cidr-group.ts";
import { ciliumRule } from "./cilium-network-policy.ts";
import { clusterNetworkPolicySpec } from "./cluster-network-policy.ts";
import { clusterNetworkPolicyStatus, policyStatus, valid } from "./conditions.ts";
import { age, type Kind, objectSchema, type PrinterColumn } from "./definition.ts";
import { structural } from "./structural.ts";

/** On the definition of a kind of policy.networking.k8s.io: the release of sigs.k8s.io/network-policy-api it is of. */
export const policyApiBundleAnnotation = "policy.networking.k8s.io/bundle-version";

const enforced: PrinterColumn = {
  name: "Enforced",
  type: "string",
  jsonPath: ".status.conditions[?(@.type=='weft.io/Enforced')].status",
};

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

/** Who may reach whom: written by people. */
export const policyKinds: readonly Kind[] = [
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
];
