// SPDX-License-Identifier: Apache-2.0
import type { Endpoint as EndpointValue } from "#datapath/layouts/endpoint.ts";
import { EndpointFlag } from "#datapath/layouts/enums.ts";
import type { Address } from "#model/ip.ts";
import type { DatapathEndpoint } from "./table.ts";

/** What the kernel holds of an endpoint: one value, under its device and under each of its addresses. */
export interface EndpointEntries {
  readonly ifindex: number;
  readonly addresses: readonly Address[];
  readonly value: EndpointValue;
}

export function endpointEntries(row: DatapathEndpoint): EndpointEntries {
  const { endpoint } = row;
  const flags =
    (row.enforceIngress ? EndpointFlag.enforceIngress : 0) |
    (row.enforceEgress ? EndpointFlag.enforceEgress : 0) |
    (row.audit ? EndpointFlag.audit : 0) |
    (row.audits ? EndpointFlag.audited : 0) |
    (row.anySource ? EndpointFlag.noSourceCheck : 0);
  const value: EndpointValue = {
    v4: endpoint.v4,
    v6: endpoint.v6,
    identity: endpoint.identity,
    policyId: row.policyId,
    policyRev: revisionInKernel(row.policyRevision, row.audit),
    ifindex: endpoint.hostIfindex,
    id: endpoint.id,
    flags,
    mac: endpoint.mac,
    hostMac: endpoint.hostMac,
  };
  return { ifindex: endpoint.hostIfindex, addresses: addressesOf(value), value };
}

/** What went through in audit is judged again when that ends: it is another revision. */
export function revisionInKernel(revision: number, audit: boolean): number {
  return audit ? ~revision >>> 0 : revision;
}

export function addressesOf(value: EndpointValue): Address[] {
  return [value.v4, value.v6].filter((address) => address !== undefined);
}
