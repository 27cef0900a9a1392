// SPDX-License-Identifier: Apache-2.0
import { egressGatewaySpec } from "./cilium-egress-gateway-policy.ts";
import { l2AnnouncementPolicySpec } from "./cilium-l2-announcement-policy.ts";
import { loadBalancerIpPoolSpec } from "./cilium-load-balancer-ip-pool.ts";
import { localRedirectSpec } from "./cilium-local-redirect-policy.ts";
import { conditionsStatus, localRedirectStatus, valid } from "./conditions.ts";
import { age, type Kind, objectSchema } from "./definition.ts";
import { structural } from "./structural.ts";

/** By which addresses traffic comes to Services, and leaves the cluster: written by people. */
export const serviceKinds: readonly Kind[] = [
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
    kind: "CiliumLocalRedirectPolicy",
    plural: "ciliumlocalredirectpolicies",
    scope: "Namespaced",
    shortNames: ["clrp"],
    categories: ["cilium", "ciliumpolicy"],
    schema: objectSchema(
      {
        spec: structural(localRedirectSpec),
        status: structural(localRedirectStatus),
      },
      ["spec"],
    ),
    status: true,
    columns: [valid, age],
  },
  {
    kind: "CiliumEgressGatewayPolicy",
    plural: "ciliumegressgatewaypolicies",
    scope: "Cluster",
    shortNames: ["cegp"],
    categories: ["cilium", "ciliumpolicy"],
    schema: objectSchema({ spec: structural(egressGatewaySpec), status: structural(conditionsStatus) }, [
      "spec",
    ]),
    status: true,
    columns: [
      valid,
      {
        name: "Gateways",
        type: "string",
        jsonPath: ".status.conditions[?(@.type=='weft.io/Gateways')].message",
      },
      age,
    ],
  },
];
