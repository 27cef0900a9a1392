// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import type { Resource } from "#k8s/resource.ts";
import type { PolicyCondition } from "./condition.ts";

/** The object whose status it is for. */
export interface ConditionSubject {
  readonly resource: Resource;
  readonly kind: string;
  /** "" for a cluster-wide object. */
  readonly namespace: string;
  readonly name: string;
}

export interface TellCondition {
  /** Whose word it is: one name for all who say the same. */
  readonly manager: string;
  /** Since when the condition has its status, milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly signal: AbortSignal;
}

/** Puts a condition into an object's status by server-side apply: others' conditions stay. An object that is gone is told nothing. */
export async function tellCondition(
  client: KubeClient,
  { resource, kind, namespace, name }: ConditionSubject,
  condition: PolicyCondition,
  { manager, sinceMs, signal }: TellCondition,
): Promise<void> {
  const ref = { name, ...(namespace !== "" && { namespace }) };
  const lastTransitionTime = new Date(sinceMs).toISOString().replace(/\.\d+Z$/, "Z");
  const body = {
    apiVersion: `${resource.group}/${resource.version}`,
    kind,
    metadata: ref,
    status: { conditions: [{ ...condition, lastTransitionTime }] },
  };
  const options = { fieldManager: manager, force: true, signal };
  try {
    await client.patch(resource, ref, { type: "apply", body }, { subresource: "status", ...options });
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}
