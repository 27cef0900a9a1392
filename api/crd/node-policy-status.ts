// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";

/** weft.io/v1alpha1 NodePolicyStatus: what an agent says of the policies on its node. One object for each node, under its name. */

const count = (text: string) => z.int().min(0).meta({ format: "int32" }).describe(text);

export const nodePolicySummary = z.strictObject({
  policies: count("Policies that select something of the node"),
  refused: count("Policies the node has no room for, as they were last written"),
  entries: count("Entries of all policy maps; from 100 on two digits are exact"),
  omitted: count("Policies left out of the list: those that cost least").optional(),
});

export const nodePolicy = z.strictObject({
  policy: z.string().describe("Kind, namespace and name: `CiliumNetworkPolicy shop/web`"),
  selects: count("Pods of the node that it selects; the node itself counts as one"),
  entries: count("Map entries it takes part in; from 100 on two digits are exact"),
  refused: z.string().optional().describe("Why the node does not enforce it as it was last written"),
});

export type NodePolicySummary = z.output<typeof nodePolicySummary>;
export type NodePolicy = z.output<typeof nodePolicy>;
