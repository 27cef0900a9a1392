// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { cidr, metadata } from "./fields.ts";
import { readManifest } from "./manifest.ts";

/** cilium.io/v2 CiliumCIDRGroup: prefixes under a name, which policies refer to. */

export const cidrGroupSpec = z.strictObject({ externalCIDRs: z.array(cidr) });

const cidrGroup = z.strictObject({
  apiVersion: z.literal("cilium.io/v2"),
  kind: z.literal("CiliumCIDRGroup"),
  metadata: metadata.extend({ labels: z.record(z.string(), z.string()).optional() }),
  spec: cidrGroupSpec,
});

export type CiliumCidrGroup = z.output<typeof cidrGroup>;

/** @throws WeftError E_MANIFEST with the path of the field that is wrong */
export function readCidrGroup(object: unknown): CiliumCidrGroup {
  return readManifest(cidrGroup, object);
}
