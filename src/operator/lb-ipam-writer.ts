// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { resources } from "#k8s/resource.ts";
import { type Condition, hasConditions, type WantedCondition, withConditions } from "./conditions.ts";
import type { LbAssignment } from "./lb-ipam.ts";
import type { ActivePool } from "./lb-ipam-pool.ts";
import { isMarked, type LbService } from "./lb-ipam-service.ts";
import { poolConditions, requestSatisfied } from "./lb-ipam-status.ts";

export function isPoolWritten(pool: ActivePool): boolean {
  return hasConditions(pool.row.conditions, poolConditions(pool));
}

/** Onto the version that was read alone: a pool that was changed meanwhile is looked at again. */
export async function writePool(client: KubeClient, pool: ActivePool, signal: AbortSignal): Promise<void> {
  if (isPoolWritten(pool)) return;
  const { name, resourceVersion, conditions: there } = pool.row;
  const conditions = withConditions(there, poolConditions(pool), Date.now());
  const body = { metadata: { resourceVersion }, status: { conditions } };
  try {
    await client.patch(
      resources.ciliumLoadBalancerIpPools,
      { name },
      { type: "merge", body },
      { subresource: "status", signal },
    );
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}

function conditionOf({ reason, message }: LbAssignment): WantedCondition {
  return { type: requestSatisfied, status: reason === "satisfied" ? "True" : "False", reason, message };
}

/** @param assignment undefined: the Service's addresses are not, or no longer, the pools' matter */
export function isServiceWritten(service: LbService, assignment: LbAssignment | undefined): boolean {
  if (!assignment) return !isMarked(service);
  return (
    !service.hasForeignIngress &&
    service.held.join() === assignment.addresses.join() &&
    hasConditions(service.conditions, [conditionOf(assignment)])
  );
}

interface ServiceStatus {
  readonly loadBalancer?: { readonly ingress: readonly { readonly ip: string }[] | null };
  readonly conditions: readonly Condition[];
}

/** The status without a trace of ours. Of another class, what is in it now is another's. */
function givenBack({ conditions, isLoadBalancer }: LbService): ServiceStatus {
  return {
    ...(!isLoadBalancer && { loadBalancer: { ingress: null } }),
    conditions: conditions.filter(({ type }) => type !== requestSatisfied),
  };
}

function statusOf(service: LbService, assignment: LbAssignment): ServiceStatus {
  const ingress = assignment.addresses.map((ip) => ({ ip }));
  return {
    loadBalancer: { ingress: ingress.length > 0 ? ingress : null },
    conditions: withConditions(service.conditions, [conditionOf(assignment)], Date.now()),
  };
}

export async function writeService(
  client: KubeClient,
  { service, assignment }: { readonly service: LbService; readonly assignment: LbAssignment | undefined },
  signal: AbortSignal,
): Promise<void> {
  if (isServiceWritten(service, assignment)) return;
  const { namespace, name, resourceVersion } = service;
  const status = assignment ? statusOf(service, assignment) : givenBack(service);
  const body = { metadata: { resourceVersion }, status };
  try {
    await client.patch(
      resources.services,
      { namespace, name },
      { type: "merge", body },
      { subresource: "status", signal },
    );
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}
