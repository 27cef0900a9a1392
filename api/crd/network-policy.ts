// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { contains, parsePrefix } from "#model/ip.ts";
import { cidr, endPort, isPortName, labelSelector, metadata } from "./fields.ts";
import { quote, readManifest, withoutNulls } from "./manifest.ts";

/** networking.k8s.io/v1 NetworkPolicy, as strict as the Kubernetes API server with field validation on. */

const port = z
  .union([z.int(), z.string()], { error: (issue) => `${quote(issue.input)} is not a port` })
  .refine((value) => (typeof value === "string" ? isPortName(value) : value >= 1 && value <= 65535), {
    error: (issue) => `${quote(issue.input)} is not a port (1 to 65535) or the name of one`,
  })
  .meta({ "x-kubernetes-int-or-string": true });

const policyPort = z
  .strictObject({
    protocol: z.enum(["TCP", "UDP", "SCTP"]).optional(),
    port: port.optional(),
    endPort: endPort.min(1).max(65535).optional(),
  })
  .superRefine((value, context) => {
    if (value.endPort === undefined) return;
    const problem = (message: string) => context.addIssue({ code: "custom", path: ["endPort"], message });
    if (typeof value.port !== "number") problem("needs a numeric port");
    else if (value.endPort < value.port) problem(`${value.endPort} is less than port ${value.port}`);
  });

const ipBlock = z.strictObject({ cidr, except: z.array(cidr).optional() }).superRefine((block, context) => {
  // What is no prefix has been told already.
  if (!cidr.safeParse(block.cidr).success) return;
  const whole = parsePrefix(block.cidr);
  for (const [index, text] of (block.except ?? []).entries()) {
    if (!cidr.safeParse(text).success) continue;
    const hole = parsePrefix(text);
    if (contains(whole, hole) && hole !== whole) continue;
    const message = `${quote(text)} is not a part of ${block.cidr}`;
    context.addIssue({ code: "custom", path: ["except", index], message });
  }
});

const peer = z
  .strictObject({
    podSelector: labelSelector.optional(),
    namespaceSelector: labelSelector.optional(),
    ipBlock: ipBlock.optional(),
  })
  .superRefine((value, context) => {
    const selects = value.podSelector !== undefined || value.namespaceSelector !== undefined;
    if (!selects && !value.ipBlock) {
      context.addIssue({ code: "custom", message: "needs podSelector, namespaceSelector or ipBlock" });
    }
    if (selects && value.ipBlock) {
      context.addIssue({
        code: "custom",
        path: ["ipBlock"],
        message: "can't stand beside podSelector or namespaceSelector",
      });
    }
  });

export const networkPolicySpec = z.strictObject({
  podSelector: labelSelector.optional(),
  policyTypes: z
    .array(z.enum(["Ingress", "Egress"]))
    .max(2)
    .optional(),
  ingress: z
    .array(z.strictObject({ from: z.array(peer).optional(), ports: z.array(policyPort).optional() }))
    .optional(),
  egress: z
    .array(z.strictObject({ to: z.array(peer).optional(), ports: z.array(policyPort).optional() }))
    .optional(),
});

export const networkPolicy = z.strictObject({
  apiVersion: z.literal("networking.k8s.io/v1"),
  kind: z.literal("NetworkPolicy"),
  metadata,
  spec: networkPolicySpec,
  status: z.looseObject({}).optional(),
});

export type NetworkPolicy = z.output<typeof networkPolicy>;
export type NetworkPolicyPeer = z.output<typeof peer>;
export type NetworkPolicyPort = z.output<typeof policyPort>;

/** @throws WeftError E_MANIFEST with the path of the field that is wrong */
export function readNetworkPolicy(object: unknown): NetworkPolicy {
  return readManifest(networkPolicy, withoutNulls(object));
}

/** @throws WeftError E_MANIFEST with the path of the field that is wrong */
export function validateNetworkPolicy(object: unknown): asserts object is NetworkPolicy {
  readNetworkPolicy(object);
}
