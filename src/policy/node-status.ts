// SPDX-License-Identifier: Apache-2.0
import type { NodePolicy, NodePolicySummary } from "#api/crd/node-policy-status.ts";
import type { KubeObject } from "#k8s/resource.ts";
import type { PolicyCost } from "./costs.ts";
import type { Refusal } from "./limits.ts";
import type { ResolvedPolicy } from "./rule.ts";
import type { EndpointPolicyRow } from "./table.ts";

/** What a node says of the policies on it. */
export interface NodePolicies {
  readonly summary: NodePolicySummary;
  /** By key. */
  readonly policies: readonly NodePolicy[];
}

/** weft.io/v1alpha1 NodePolicyStatus. */
export interface NodePolicyStatusObject extends KubeObject, Partial<NodePolicies> {}

export interface NodePolicyTables {
  readonly costs: Iterable<PolicyCost>;
  readonly refusals: Iterable<Refusal>;
  readonly endpointPolicies: Iterable<EndpointPolicyRow>;
  readonly policyMaps: Iterable<ResolvedPolicy>;
}

/** An object has bounds: of more than these the cheapest are left out, and counted. */
const most = 1000;

/** What the tables of a node come to. Pure; the same tables give the same. */
export function nodePolicies(tables: NodePolicyTables): NodePolicies {
  const found = new Map<string, { selects: number; entries: number; refused?: string }>();
  const of = (policy: string) => {
    const known = found.get(policy) ?? { selects: 0, entries: 0 };
    found.set(policy, known);
    return known;
  };
  for (const { policies } of tables.endpointPolicies) for (const policy of policies) of(policy).selects++;
  for (const { policy, entries } of tables.costs) of(policy).entries = roughly(entries);
  for (const { policy, message } of tables.refusals) of(policy).refused = message;
  const all = Array.from(found, ([policy, said]): NodePolicy => ({ policy, ...said }));
  const kept = all.sort((a, b) => weight(b) - weight(a) || order(a, b)).slice(0, most);
  const entries = [...tables.policyMaps].reduce((sum, map) => sum + map.entries.length, 0);
  return {
    summary: {
      policies: all.filter(({ selects }) => selects > 0).length,
      refused: all.filter(({ refused }) => refused !== undefined).length,
      entries: roughly(entries),
      ...(all.length > kept.length && { omitted: all.length - kept.length }),
    },
    policies: kept.sort(order),
  };
}

/** To two digits: what is told of a count changes when it says something new, not with every pod of a large cluster. */
export function roughly(count: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, count))) - 1);
  return Math.round(count / unit) * unit;
}

/** Refusals are told first. */
function weight({ refused, entries }: NodePolicy): number {
  return refused === undefined ? entries : Number.MAX_SAFE_INTEGER;
}

function order(a: NodePolicy, b: NodePolicy): number {
  return a.policy < b.policy ? -1 : 1;
}
