// SPDX-License-Identifier: Apache-2.0
import type { Database, WritableTable } from "#store/table.ts";
import { answerKey, type L2Answer, type L2Policy } from "./l2-policy.ts";

/** CiliumL2AnnouncementPolicies: intent. */
export function l2PolicyTable(db: Database): WritableTable<L2Policy> {
  return db.table<L2Policy>({
    name: "l2-policies",
    key: (row) => row.name,
    equal: (a, b) => a.name === b.name && a.generation === b.generation && a.uid === b.uid,
    columns: [
      { name: "NAME", of: (row) => row.name },
      { name: "EXTERNAL-IPS", of: (row) => row.externalIps },
      { name: "LOAD-BALANCER-IPS", of: (row) => row.loadBalancerIps },
      { name: "DEVICES", of: (row) => row.devices?.map(({ source }) => source).join(",") ?? "*" },
      { name: "PROBLEM", of: (row) => row.problem ?? "" },
    ],
  });
}

/** An address that this node answers for on the wire: desired. */
export interface L2Announcement extends L2Answer {
  /** `namespace/name` of the Service whose Lease this node holds. */
  readonly service: string;
  /** Seconds of CLOCK_MONOTONIC: no answer from then on, unless the Lease is renewed before. */
  readonly untilSec: number;
}

export function l2AnnouncementTable(db: Database): WritableTable<L2Announcement> {
  return db.table<L2Announcement>({
    name: "l2-announcements",
    key: answerKey,
    indexes: { service: (row) => [row.service] },
    equal: (a, b) => a.service === b.service && a.untilSec === b.untilSec,
    columns: [
      { name: "SERVICE", of: (row) => row.service },
      { name: "ADDRESS", of: (row) => row.address },
      { name: "DEVICE", of: (row) => row.device },
      { name: "UNTIL-SEC", of: (row) => row.untilSec, wide: true },
    ],
  });
}
