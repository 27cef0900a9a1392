// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import type { PrinterColumn } from "./definition.ts";

const byType = { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] };

const condition = z.looseObject({ type: z.string(), status: z.string() });
/** Agents and operator each say conditions of their own. */
export const policyStatus = z.looseObject({ conditions: z.array(condition).meta(byType).optional() });

/** A condition as Kubernetes' own API machinery has it (metav1.Condition). */
const fullCondition = z.strictObject({
  type: z.string().max(316),
  status: z.enum(["True", "False", "Unknown"]),
  observedGeneration: z.int().min(0).optional(),
  lastTransitionTime: z.string().meta({ format: "date-time" }),
  reason: z.string().min(1).max(1024),
  message: z.string().max(32768),
});
export const clusterNetworkPolicyStatus = z.strictObject({
  conditions: z.array(fullCondition).meta(byType),
});

export const conditionsStatus = z.strictObject({
  conditions: z.array(fullCondition).meta(byType).optional(),
});

/** `ok` is Cilium's, the conditions are Weft's. */
export const localRedirectStatus = conditionsStatus.extend({ ok: z.boolean().optional() });

export const valid: PrinterColumn = {
  name: "Valid",
  type: "string",
  jsonPath: ".status.conditions[?(@.type=='Valid')].status",
};
