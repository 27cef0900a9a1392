// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { cidr, labelSelector } from "./fields.ts";

/** cilium.io/v2 CiliumLoadBalancerIPPool: addresses for Services of type LoadBalancer. */

/** Either a prefix, or a range by its ends; without `stop` one address. What is neither is told in the pool's status. */
const block = z.strictObject({
  cidr: cidr.optional(),
  start: z.string().describe("First address of a range").optional(),
  stop: z.string().describe("Last address of the range; absent: the first alone").optional(),
});

export const loadBalancerIpPoolSpec = z.strictObject({
  serviceSelector: labelSelector
    .describe(
      "Services that may have addresses of the pool; absent: all. io.kubernetes.service.namespace and io.kubernetes.service.name stand for where the Service is",
    )
    .optional(),
  allowFirstLastIPs: z
    .enum(["Yes", "No"])
    .describe("Whether the first and the last address of a CIDR are given out; default Yes")
    .optional(),
  blocks: z.array(block).optional(),
  disabled: z.boolean().default(false).describe("Gives nothing new out; Services keep what they have"),
});

export type LoadBalancerIpPoolSpec = z.input<typeof loadBalancerIpPoolSpec>;
