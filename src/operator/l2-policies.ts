// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import type { EventRecorder } from "#k8s/events.ts";
import { resources } from "#k8s/resource.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type L2Policy, type L2PolicyObject, l2PolicyRow } from "#services/l2-policy.ts";
import { startController } from "#store/controller.ts";
import type { Table } from "#store/table.ts";
import { startWorkQueue } from "#store/work-queue.ts";
import { type Condition, hasConditions, type WantedCondition, withConditions } from "./conditions.ts";

/** A CiliumL2AnnouncementPolicy and what is said of it. */
export interface WrittenL2Policy {
  readonly policy: L2Policy;
  readonly resourceVersion: string;
  readonly conditions: readonly Condition[];
}

interface ObjectWithStatus extends L2PolicyObject {
  readonly metadata: L2PolicyObject["metadata"] & { readonly resourceVersion?: string };
  readonly status?: { readonly conditions?: readonly Condition[] };
}

export function writtenL2Policy(object: ObjectWithStatus): WrittenL2Policy {
  return {
    policy: l2PolicyRow(object),
    resourceVersion: object.metadata.resourceVersion ?? "",
    conditions: object.status?.conditions ?? [],
  };
}

export interface L2StatusDeps {
  readonly client: KubeClient;
  readonly policies: Table<WrittenL2Policy>;
  /** Whether agents follow policies. */
  readonly enabled: boolean;
  readonly events: EventRecorder;
  readonly health: Health;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Says in each policy's status, and once in an Event, whether agents go by it. */
export function startL2PolicyStatus(deps: L2StatusDeps): AsyncDisposable {
  const { client, policies, enabled, events, health, log, signal } = deps;
  const stack = new AsyncDisposableStack();
  const queue = stack.use(
    startWorkQueue({
      name: "l2-policies/status",
      health,
      log,
      signal,
      async work(name, until) {
        const row = policies.get(name);
        if (row) await write(client, row, { wanted: conditionOf(row.policy, enabled), signal: until });
      },
    }),
  );
  stack.use(
    startController({
      name: "l2-policies",
      inputs: { policies },
      health,
      log,
      signal,
      run(changes) {
        for (const [name, { kind, row }] of changes.policies) {
          if (kind !== "put") continue;
          const wanted = conditionOf(row.policy, enabled);
          if (hasConditions(row.conditions, [wanted])) continue;
          queue.add(name);
          if (wanted.status === "True") continue;
          const { uid } = row.policy;
          const subject = { apiVersion: "cilium.io/v2alpha1", kind: "CiliumL2AnnouncementPolicy", name, uid };
          events.warn(subject, wanted.reason, wanted.message);
        }
        return `${policies.size} policies`;
      },
    }),
  );
  return stack;
}

function conditionOf(
  { problem, generation, externalIps, loadBalancerIps }: L2Policy,
  enabled: boolean,
): WantedCondition {
  const said = (status: "True" | "False", reason: string, message: string): WantedCondition => ({
    type: "Valid",
    status,
    observedGeneration: generation,
    reason,
    message,
  });
  if (problem !== undefined) return said("False", "Malformed", problem);
  if (!enabled)
    return said("False", "Disabled", "L2 announcements are off: set config.l2Announcements.enabled");
  if (!externalIps && !loadBalancerIps)
    return said(
      "True",
      "InForce",
      "Policy announces nothing: it has neither loadBalancerIPs nor externalIPs",
    );
  return said("True", "InForce", "Policy is in force");
}

async function write(
  client: KubeClient,
  { policy: { name }, resourceVersion, conditions }: WrittenL2Policy,
  { wanted, signal }: { readonly wanted: WantedCondition; readonly signal: AbortSignal },
): Promise<void> {
  if (hasConditions(conditions, [wanted])) return;
  const body = {
    metadata: { resourceVersion },
    status: { conditions: withConditions(conditions, [wanted], Date.now()) },
  };
  try {
    await client.patch(
      resources.ciliumL2AnnouncementPolicies,
      { name },
      { type: "merge", body },
      { subresource: "status", signal },
    );
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}
