// SPDX-License-Identifier: Apache-2.0
import { readCidrGroup } from "#api/crd/cilium-cidr-group.ts";
import { parsePrefix } from "#model/ip.ts";
import type { CidrGroup } from "./table.ts";

/**
 * The row of a cilium.io/v2 CiliumCIDRGroup; items of a list carry neither kind nor apiVersion.
 * @throws WeftError E_MANIFEST: the group stays what it was
 */
export function cidrGroupRow(object: object): CidrGroup {
  const { metadata, spec } = readCidrGroup({
    ...object,
    apiVersion: "cilium.io/v2",
    kind: "CiliumCIDRGroup",
  });
  const prefixes = [...new Set(spec.externalCIDRs.map(parsePrefix))].sort();
  return { name: metadata.name, labels: metadata.labels ?? {}, prefixes };
}
