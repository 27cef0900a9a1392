// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { parseSettings, readSettings } from "#lib/settings.ts";
import { contains, type Family, family, type Prefix, prefixBits } from "#model/ip.ts";
import {
  apiServerSetting,
  clusterNameSetting,
  endpointSlicesSetting,
  ipamSetting,
  l2AnnouncementsSetting,
  listenSetting,
  prefixSetting,
} from "#model/settings.ts";

function pool(of: Family, maskSize: number, name: string) {
  return z
    .strictObject({
      cidrs: z
        .array(prefixSetting)
        .min(1)
        .describe("Prefixes to take the nodes' pod CIDRs from, in this order."),
      maskSize: z
        .number()
        .int()
        .min(8)
        .max(of === 4 ? 30 : 126)
        .default(maskSize)
        .describe("Prefix length of a node's pod CIDR."),
    })
    .superRefine(({ cidrs, maskSize: bits }, context) => {
      const complain = (i: number, message: string) =>
        context.addIssue({ code: "custom", path: ["cidrs", i], message });
      cidrs.forEach((cidr, i) => {
        if (family(cidr) !== of) complain(i, `"${cidr}" is not of IPv${of}`);
        else if (prefixBits(cidr) > bits) complain(i, `"${cidr}" is smaller than a node's /${bits}`);
        else if (cidrs.some((other, j) => j < i && overlap(other, cidr)))
          complain(i, `"${cidr}" overlaps another`);
      });
    })
    .optional()
    .describe(`Pod CIDRs of ${name}; absent: the nodes get none of that family.`);
}

function overlap(a: Prefix, b: Prefix): boolean {
  return contains(a, b) || contains(b, a);
}

/** Everything an operator can be told. Unknown keys are an error, and the chart's values are made of this, as the agent's are. */
export const operatorConfigSchema = z
  .strictObject({
    clusterName: clusterNameSetting,
    kubeconfig: z.string().optional().describe("Absent: in-cluster credentials."),
    apiServer: apiServerSetting,
    ipam: ipamSetting,
    clusterPool: z
      .strictObject({ v4: pool(4, 24, "IPv4"), v6: pool(6, 120, "IPv6") })
      .default({})
      .describe("With ipam cluster-pool: where the nodes' pod CIDRs come from."),
    endpointSlices: endpointSlicesSetting,
    lbIpam: z
      .strictObject({
        enabled: z
          .boolean()
          .default(true)
          .describe("Without a CiliumLoadBalancerIPPool nothing is done for any Service."),
        requireClass: z
          .boolean()
          .default(false)
          .describe(
            "Only for Services of class io.cilium/l2-announcer or io.cilium/bgp-control-plane: those without one are somebody else's.",
          ),
      })
      .prefault({})
      .describe("Gives Services of type LoadBalancer their addresses, out of CiliumLoadBalancerIPPools."),
    l2Announcements: l2AnnouncementsSetting,
    health: listenSetting("127.0.0.1:9234").describe("Probes: /healthz and /readyz."),
    metrics: listenSetting("0.0.0.0:9963").describe("Prometheus metrics."),
  })
  .refine(({ ipam, clusterPool }) => ipam !== "cluster-pool" || clusterPool.v4 || clusterPool.v6, {
    path: ["clusterPool"],
    error: "ipam cluster-pool needs clusterPool.v4 or clusterPool.v6",
  });

export type OperatorConfig = z.infer<typeof operatorConfigSchema>;

/** Reads the YAML file. @throws WeftError E_CONFIG naming the file and the setting. */
export function loadOperatorConfig(path: string): OperatorConfig {
  return readSettings(operatorConfigSchema, path);
}

export function parseOperatorConfig(text: string, path: string): OperatorConfig {
  return parseSettings(operatorConfigSchema, text, path);
}
