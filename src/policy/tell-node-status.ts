// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { aborted, type Clock, pause, systemClock } from "#lib/clock.ts";
import type { Health } from "#lib/health.ts";
import { startJob } from "#lib/jobs.ts";
import type { Logger } from "#lib/log.ts";
import type { Table } from "#store/table.ts";
import type { PolicyCost } from "./costs.ts";
import type { Refusal } from "./limits.ts";
import { type NodePolicies, type NodePolicyStatusObject, nodePolicies } from "./node-status.ts";
import type { ResolvedPolicy } from "./rule.ts";
import type { EndpointPolicyRow } from "./table.ts";

export interface NodeStatusDeps {
  readonly client: KubeClient;
  readonly costs: Table<PolicyCost>;
  readonly refusals: Table<Refusal>;
  readonly endpointPolicies: Table<EndpointPolicyRow>;
  readonly policyMaps: Table<ResolvedPolicy>;
  /** The Node, as it is by now. */
  node(): { readonly name: string; readonly uid?: string };
  readonly pace: StatusPace;
  readonly health: Health;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** When a node may speak: see {@link statusPace}. */
export interface StatusPace {
  /** Least time between two writes. */
  intervalMs(): number;
  /** Of each interval, the part that goes by before this node's turn: 0 to 1. */
  turn(): number;
}

const writesPerSec = 10;
const leastIntervalMs = 2000;

/** Shares the writes the API server is asked for, ten a second for the whole cluster, evenly among its nodes. */
export function statusPace(nodes: () => Iterable<{ readonly name: string }>, own: string): StatusPace {
  const names = () => Array.from(nodes(), ({ name }) => name);
  return {
    intervalMs: () => Math.max(leastIntervalMs, (names().length * 1000) / writesPerSec),
    turn() {
      const all = names();
      return all.filter((name) => name < own).length / Math.max(1, all.length);
    },
  };
}

/** How long until an API server that does not know the kind is asked again: the operator brings it. */
const unknownKindMs = 60_000;
/** What one cause brings comes together. */
const settleMs = 200;

/**
 * Keeps this node's NodePolicyStatus true: what its policies cost and which it has no room for. Only the operator reads it, so a write
 * reaches one watcher; what has not changed is not written.
 */
export function startNodePolicyStatus(deps: NodeStatusDeps, signal: AbortSignal): AsyncDisposable {
  const { health, log, pace, clock = systemClock } = deps;
  const tables = [deps.costs, deps.refusals, deps.endpointPolicies, deps.policyMaps];
  let told = "";
  return startJob({
    name: "policy/node-status",
    signal,
    health,
    log,
    clock,
    async run(abort, ok) {
      await Promise.race([deps.policyMaps.ready, deps.endpointPolicies.ready, aborted(abort)]);
      using news = newsOf(tables);
      // With many nodes its turn may be minutes away, and nothing is amiss until then.
      if (!abort.aborted) ok("waits for its turn");
      while (!abort.aborted) {
        await pause(settleMs + pace.turn() * pace.intervalMs(), abort, clock);
        if (abort.aborted) return;
        news.clear();
        const now = nodePolicies({
          costs: deps.costs.all(),
          refusals: deps.refusals.all(),
          endpointPolicies: deps.endpointPolicies.all(),
          policyMaps: deps.policyMaps.all(),
        });
        const text = JSON.stringify([deps.node(), now]);
        const known = text === told || (await write(deps, now, abort));
        if (known) told = text;
        const { policies, refused } = now.summary;
        ok(known ? `${policies} policies, ${refused} refused` : "the API server does not know the kind yet");
        await pause(known ? (1 - pace.turn()) * pace.intervalMs() : unknownKindMs, abort, clock);
        await news.some(abort);
      }
    },
  });
}

/** Whether something was written into the tables since it was last cleared. */
function newsOf(tables: readonly Table<unknown>[]) {
  let fresh = Promise.withResolvers<void>();
  const stops = tables.map((table) => table.onCommit(() => fresh.resolve()));
  return {
    clear(): void {
      fresh = Promise.withResolvers();
    },
    some: (signal: AbortSignal): Promise<void> => Promise.race([fresh.promise, aborted(signal)]),
    [Symbol.dispose](): void {
      for (const stop of stops) stop();
    },
  };
}

/** False: the API server does not know the kind. */
async function write(
  { client, node }: NodeStatusDeps,
  said: NodePolicies,
  signal: AbortSignal,
): Promise<boolean> {
  const resource = resources.nodePolicyStatuses;
  const { name, uid } = node();
  const owner = { apiVersion: "v1", kind: "Node", name, uid: uid ?? "" };
  const metadata = { name, ...(uid !== undefined && { ownerReferences: [owner] }) };
  const { omitted = null, ...summary } = said.summary;
  const body = { metadata, ...said, summary: { ...summary, omitted } };
  try {
    await client.patch(resource, { name }, { type: "merge", body }, { signal });
    return true;
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
  const object: NodePolicyStatusObject = {
    apiVersion: "weft.io/v1alpha1",
    kind: "NodePolicyStatus",
    metadata,
    ...said,
  };
  try {
    await client.create<KubeObject>(resource, object, { signal });
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
  return true;
}
