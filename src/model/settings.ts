// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { type Prefix, parsePrefix } from "#model/ip.ts";

/** Settings that agent and operator share; both read the same words. */

export const prefixSetting = z.string().transform((text, context): Prefix => {
  try {
    return parsePrefix(text);
  } catch {
    context.addIssue({ code: "custom", message: `"${text}" is not a CIDR prefix` });
    return z.NEVER;
  }
});

export const clusterNameSetting = z
  .string()
  .min(1)
  .max(32)
  .default("default")
  .describe("Name of the cluster; part of every identity's labels.");

export const apiServerSetting = z
  .strictObject({
    host: z.string().min(1).describe("Name or address, without brackets."),
    port: z.number().int().min(1).max(65_535).default(6443).describe("TCP port."),
  })
  .optional()
  .describe(
    "Where the API server answers, in place of the environment's Service address, which nobody answers before the agents do.",
  );

export const ipamSetting = z
  .enum(["kubernetes", "cluster-pool"])
  .default("kubernetes")
  .describe(
    "Who gives nodes their pod CIDRs: Kubernetes (Node.spec.podCIDRs), or the operator out of its pools (CiliumNode.spec.ipam.podCIDRs).",
  );

export const endpointSlicesSetting = z
  .boolean()
  .default(false)
  .describe(
    "Put CiliumEndpoints together in CiliumEndpointSlices, and let agents read these: far fewer events for clusters of hundreds of nodes, but what is new of a pod then reaches other nodes by way of the operator.",
  );

export const l2AnnouncementsSetting = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe("Off: policies do nothing, and agents may not write Leases in their namespace."),
    leaseSec: z
      .number()
      .int()
      .min(3)
      .max(300)
      .default(15)
      .describe("How long nobody answers for an address after the node that did is gone."),
  })
  .prefault({})
  .describe(
    "Nodes answer on the wire (ARP, neighbour discovery) for addresses of Services, as CiliumL2AnnouncementPolicies say.",
  );

export const listenSetting = (address: string) =>
  z.strictObject({ listen: z.string().default(address).describe("Address and port.") }).prefault({});

/** Sizes of a service's table of backends: primes, so that every backend's steps meet every place (Maglev). */
export const tableSizes = [251, 509, 1021, 2039, 4093, 8191, 16_381, 32_749, 65_521, 131_071] as const;
