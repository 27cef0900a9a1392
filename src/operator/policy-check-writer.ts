// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import type { EventRecorder } from "#k8s/events.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Node } from "#nodes/node.ts";
import { startController } from "#store/controller.ts";
import type { Table } from "#store/table.ts";
import { startWorkQueue } from "#store/work-queue.ts";
import { hasConditions, type WantedCondition, withConditions } from "./conditions.ts";
import { type CheckedPolicy, checkedKinds, checksOf } from "./policy-checks.ts";

export interface PolicyCheckDeps {
  readonly client: KubeClient;
  readonly policies: Table<CheckedPolicy>;
  readonly nodes: Table<Node>;
  readonly events: EventRecorder;
  readonly health: Health;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Says in the status of each egress and redirect policy whether agents go by it and by which nodes pods leave, and in an Event when
 * something of it begins to be wrong. The conditions are also the memory: who leads next finds there what has been said.
 */
export function startPolicyChecks(deps: PolicyCheckDeps): AsyncDisposable {
  const { client, policies, nodes, events, health, log, signal } = deps;
  const stack = new AsyncDisposableStack();
  const wantedOf = (row: CheckedPolicy) => checksOf(row, [...nodes.all()]);
  const queue = stack.use(
    startWorkQueue({
      name: "policy-checks/status",
      rate: { perSec: 10, burst: 100 },
      health,
      log,
      signal,
      async work(key, until) {
        const row = policies.get(key);
        if (!row || !nodes.isReady) return;
        const wanted = wantedOf(row);
        const fresh = wanted.filter((one) => !hasConditions(row.conditions, [one]));
        if (fresh.length === 0 || !(await write(client, row, { wanted, signal: until }))) return;
        tell(events, row, fresh);
      },
    }),
  );
  stack.use(
    startController({
      name: "policy-checks",
      inputs: { policies, nodes },
      health,
      log,
      signal,
      run(changes) {
        const keys =
          changes.nodes.size > 0
            ? [...policies.all()].map((row) => policies.keyOf(row))
            : changes.policies.keys();
        for (const key of keys) {
          const row = policies.get(key);
          if (row && !hasConditions(row.conditions, wantedOf(row))) queue.add(key);
        }
        return `${policies.size} policies`;
      },
    }),
  );
  return stack;
}

/** What is wrong from now on. */
function tell(events: EventRecorder, row: CheckedPolicy, fresh: readonly WantedCondition[]): void {
  const { kind, namespace, name, uid } = row;
  const subject = { apiVersion: "cilium.io/v2", kind, name, uid, ...(namespace && { namespace }) };
  for (const { status, reason, message } of fresh)
    if (status === "False") events.warn(subject, reason, message);
}

/** @returns false: the policy is gone, or its definition, somebody else's, has no status */
async function write(
  client: KubeClient,
  { kind, namespace, name, resourceVersion, conditions, problem }: CheckedPolicy,
  { wanted, signal }: { readonly wanted: readonly WantedCondition[]; readonly signal: AbortSignal },
): Promise<boolean> {
  // Cilium's own word for it.
  const ok = kind === "CiliumLocalRedirectPolicy" ? { ok: problem === undefined } : {};
  const body = {
    metadata: { resourceVersion },
    status: { ...ok, conditions: withConditions(conditions, wanted, Date.now()) },
  };
  const ref = { name, ...(namespace && { namespace }) };
  try {
    await client.patch(checkedKinds[kind], ref, { type: "merge", body }, { subresource: "status", signal });
    return true;
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}
