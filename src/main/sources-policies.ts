// SPDX-License-Identifier: Apache-2.0
import { startPolicySource } from "#policy/source.ts";
import { startNodePolicyStatus, statusPace } from "#policy/tell-node-status.ts";
import type { ControlDeps } from "./control-context.ts";

/** Policies of every kind → their tables, and what this node says of them. */
export function startPolicySources(deps: ControlDeps, signal: AbortSignal): AsyncDisposable {
  const { tables, client, health, log } = deps;
  const stack = new AsyncDisposableStack();
  stack.use(
    startPolicySource(
      {
        client,
        db: tables.db,
        health,
        log,
        written: tables.writtenPolicies,
        cidrGroups: tables.cidrGroups,
        policies: tables.policies,
        refusals: tables.policyRefusals,
        nodeName: deps.node.name,
        turnMs: () => turnMs(tables.nodes.all(), deps.node.name),
        keepsLabel: deps.keepsLabel,
        hostFirewall: deps.config.hostFirewall.enabled,
      },
      signal,
    ),
  );
  stack.use(
    startNodePolicyStatus(
      {
        client,
        health,
        log,
        costs: tables.policyCosts,
        refusals: tables.policyRefusals,
        endpointPolicies: tables.endpointPolicies,
        policyMaps: tables.policyMaps,
        node: () => nodeNow(deps),
        pace: statusPace(() => tables.nodes.all(), deps.node.name),
      },
      signal,
    ),
  );
  return stack;
}

/** This node with the uid of its Node, once that is known. */
function nodeNow({ tables, node: { name, uid: first } }: ControlDeps): {
  readonly name: string;
  readonly uid?: string;
} {
  const uid = tables.nodes.get(name)?.uid ?? first;
  return { name, ...(uid !== undefined && { uid }) };
}

/** Nodes speak in the order of their names: 50 ms is time enough for what the one before said to come by the watch. */
function turnMs(nodes: Iterable<{ readonly name: string }>, own: string): number {
  let before = 0;
  for (const { name } of nodes) if (name < own) before++;
  return Math.min(before * 50, 10_000);
}
