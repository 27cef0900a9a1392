// SPDX-License-Identifier: Apache-2.0
import type { Database, WritableTable } from "#store/table.ts";
import type { MasqueradeExemption } from "./masquerade-list.ts";
import type { EgressPolicy } from "./policy.ts";
import type { EgressRow } from "./rows.ts";

/** Desired content of the map `masq_exempt`. Key: the prefix. */
export function masqueradeExemptTable(db: Database): WritableTable<MasqueradeExemption> {
  return db.table<MasqueradeExemption>({
    name: "masquerade-exempt",
    key: (row) => row.prefix,
    equal: (a, b) => a.origin === b.origin,
    columns: [
      { name: "PREFIX", of: (row) => row.prefix },
      { name: "ORIGIN", of: (row) => row.origin },
    ],
  });
}

/** Key: the name. */
export function egressPolicyTable(db: Database): WritableTable<EgressPolicy> {
  return db.table<EgressPolicy>({
    name: "egress-policies",
    key: (row) => row.name,
    equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    columns: [
      { name: "NAME", of: (row) => row.name },
      { name: "DESTINATIONS", of: (row) => row.destinations.join(",") },
      { name: "EXCLUDED", of: (row) => row.excluded.join(",") },
      { name: "GATEWAYS", of: (row) => row.gateways.length },
    ],
  });
}

/** Desired content of the map `egress`. Key: the pod's address and the destination. */
export function egressTable(db: Database): WritableTable<EgressRow> {
  return db.table<EgressRow>({
    name: "egress",
    key: (row) => `${row.source} ${row.destination}`,
    indexes: { source: (row) => [row.source] },
    equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    columns: [
      { name: "NAMESPACE", of: ({ pod }) => pod.slice(0, pod.indexOf("/")) },
      { name: "POD", of: ({ pod }) => pod.slice(pod.indexOf("/") + 1) },
      { name: "SOURCE", of: (row) => row.source },
      { name: "DESTINATION", of: (row) => row.destination },
      { name: "GATEWAY", of: (row) => row.gateway },
      { name: "LEAVES", of: leavesOf },
      { name: "POLICY", of: (row) => row.policy },
      { name: "TUNNEL", of: (row) => row.node ?? "", wide: true },
    ],
  });
}

function leavesOf({ way, address, asked }: EgressRow): string {
  switch (way) {
    case "excluded":
      return "the usual way";
    case "none":
      return "not: no node is its gateway";
    case "gateway":
      return address
        ? `as ${address}`
        : `not: this node has no ${asked ? `address of ${asked}` : "such address"}`;
    case "tunnel":
      return asked ? `as ${asked} of its gateway` : "as its gateway";
  }
}
