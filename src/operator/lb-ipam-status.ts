// SPDX-License-Identifier: Apache-2.0
import type { WantedCondition } from "./conditions.ts";
import type { ActivePool } from "./lb-ipam-pool.ts";

/** On a Service: whether it has the addresses it asks for. */
export const requestSatisfied = "cilium.io/IPAMRequestSatisfied";

/** What a pool's status says: whether it is in conflict, and its counts, as Cilium writes them (a number is a message). */
export function poolConditions({ row, trouble, size, free, inUse }: ActivePool): WantedCondition[] {
  const observedGeneration = row.generation;
  const count = (type: string, value: bigint): WantedCondition => ({
    type,
    status: "Unknown",
    observedGeneration,
    reason: "noreason",
    message: String(value),
  });
  return [
    {
      type: "cilium.io/PoolConflict",
      status: trouble ? "True" : "False",
      observedGeneration,
      reason: trouble?.reason ?? "resolved",
      message: trouble?.message ?? "",
    },
    count("cilium.io/IPsTotal", size),
    count("cilium.io/IPsAvailable", free),
    count("cilium.io/IPsUsed", inUse),
  ];
}
