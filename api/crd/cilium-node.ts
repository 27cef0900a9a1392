// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { cidr } from "./fields.ts";

const owned = z.object({ owner: z.string().optional(), resource: z.string().optional() });
const addresses = z.record(z.string(), owned);
const pair = z.object({ ipv4: z.string().optional(), ipv6: z.string().optional() });
const count = z.int().min(0);

const ipamSpec = z.object({
  podCIDRs: z
    .array(cidr)
    .optional()
    .meta({ description: "Prefixes this node's pods get their addresses from" }),
  pool: addresses.optional(),
  "ipv6-pool": addresses.optional(),
  pools: z
    .object({
      allocated: z
        .array(
          z.object({
            pool: z.string(),
            cidrs: z.array(cidr).optional(),
            allowFirstIP: z.boolean().optional(),
            allowLastIP: z.boolean().optional(),
          }),
        )
        .optional(),
      requested: z
        .array(
          z.object({
            pool: z.string(),
            needed: z.object({ "ipv4-addrs": count.optional(), "ipv6-addrs": count.optional() }).optional(),
          }),
        )
        .optional(),
    })
    .optional(),
  "min-allocate": count.optional(),
  "max-allocate": count.optional(),
  "pre-allocate": count.optional(),
  "max-above-watermark": count.optional(),
});

/** `spec` of a CiliumNode: what the node's agent says of it, and the pod CIDRs the operator gave it. */
export const ciliumNodeSpec = z.object({
  "instance-id": z.string().optional(),
  bootid: z.string().optional().meta({ description: "Changes with every boot of the node" }),
  addresses: z
    .array(z.object({ type: z.string().optional(), ip: z.string().optional() }))
    .optional()
    .meta({ description: "Addresses of the node: InternalIP, ExternalIP, CiliumInternalIP" }),
  health: pair.optional(),
  ingress: pair.optional(),
  encryption: z.object({ key: z.int().optional() }).optional(),
  ipam: ipamSpec.optional(),
});

const releaseState = z.enum(["marked-for-release", "ready-for-release", "do-not-release", "released"]);

export const ciliumNodeStatus = z.object({
  ipam: z
    .object({
      used: addresses.optional(),
      "ipv6-used": addresses.optional(),
      "pod-cidrs": z
        .record(z.string(), z.object({ status: z.enum(["released", "depleted", "in-use"]).optional() }))
        .optional()
        .meta({ description: "How full each pod CIDR is" }),
      "operator-status": z
        .object({ error: z.string().optional() })
        .optional()
        .meta({ description: "Why the operator could not give the node a pod CIDR" }),
      "release-ips": z.record(z.string(), releaseState).optional(),
      "release-ipv6s": z.record(z.string(), releaseState).optional(),
      "assigned-static-ip": z.string().optional(),
    })
    .optional(),
});
