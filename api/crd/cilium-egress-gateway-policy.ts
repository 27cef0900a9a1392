// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { address, cidr, ciliumSelector, labelSelector, metadata } from "./fields.ts";
import { readManifest } from "./manifest.ts";

/** cilium.io/v2 CiliumEgressGatewayPolicy: which pods leave the cluster by which node, with which address. */

const gateway = z
  .strictObject({
    nodeSelector: labelSelector.meta({
      description: "Labels of the node; of several the first by name that is ready",
    }),
    interface: z
      .string()
      .min(1)
      .max(15)
      .optional()
      .meta({ description: "Device whose first address of each family is the source" }),
    egressIP: address.optional().meta({ description: "The source; an address of the gateway" }),
  })
  .superRefine((given, context) => {
    if (given.interface === undefined || given.egressIP === undefined) return;
    const message = "and interface exclude each other";
    context.addIssue({ code: "custom", path: ["egressIP"], message });
  });

export const egressGatewaySpec = z.strictObject({
  selectors: z.array(
    z
      .strictObject({
        podSelector: ciliumSelector.optional().meta({ description: "Labels of the pods" }),
        namespaceSelector: labelSelector.optional().meta({ description: "Labels of their namespaces" }),
        nodeSelector: labelSelector.optional().meta({ description: "Labels of the nodes they are on" }),
      })
      .superRefine(({ podSelector, namespaceSelector }, context) => {
        if (podSelector || namespaceSelector) return;
        context.addIssue({ code: "custom", message: "needs podSelector or namespaceSelector" });
      }),
  ),
  destinationCIDRs: z.array(cidr).meta({ description: "Outside the cluster" }),
  excludedCIDRs: z.array(cidr).optional().meta({ description: "Parts of them that are not meant" }),
  egressGateway: gateway,
  egressGateways: z
    .array(gateway)
    .max(64)
    .optional()
    .meta({ description: "In place of egressGateway: the pods are shared out among them" }),
});

const egressGatewayPolicy = z.strictObject({
  apiVersion: z.literal("cilium.io/v2"),
  kind: z.literal("CiliumEgressGatewayPolicy"),
  metadata,
  spec: egressGatewaySpec,
  status: z.looseObject({}).optional(),
});

export type CiliumEgressGatewayPolicy = z.output<typeof egressGatewayPolicy>;
export type EgressGatewaySpec = CiliumEgressGatewayPolicy["spec"];

/** @throws WeftError E_MANIFEST with the path of the field that is wrong */
export function readEgressGatewayPolicy(object: unknown): CiliumEgressGatewayPolicy {
  return readManifest(egressGatewayPolicy, object);
}
