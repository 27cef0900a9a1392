// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { labelSelector } from "./fields.ts";

/** cilium.io/v2alpha1 CiliumL2AnnouncementPolicy: which Services' addresses are answered for on the wire, by which nodes, on which devices. */
export const l2AnnouncementPolicySpec = z.strictObject({
  serviceSelector: labelSelector
    .describe(
      "Services; absent: all. io.kubernetes.service.namespace and io.kubernetes.service.name stand for where the Service is",
    )
    .optional(),
  nodeSelector: labelSelector.describe("Nodes that may announce; absent: all").optional(),
  interfaces: z
    .array(z.string())
    .describe("Regular expressions for names of devices; absent: all that the agent serves")
    .optional(),
  externalIPs: z.boolean().describe("Announces spec.externalIPs of the Services").optional(),
  loadBalancerIPs: z.boolean().describe("Announces status.loadBalancer.ingress of the Services").optional(),
});

export type L2AnnouncementPolicySpec = z.output<typeof l2AnnouncementPolicySpec>;
