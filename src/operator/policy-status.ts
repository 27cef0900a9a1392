// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { reflect } from "#k8s/reflect.ts";
import { resources } from "#k8s/resource.ts";
import { type Clock, systemClock } from "#lib/clock.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { conditionText } from "#policy/condition.ts";
import { tellCondition } from "#policy/tell-condition.ts";
import { startController } from "#store/controller.ts";
import type { Change, Database } from "#store/table.ts";
import { startWorkQueue, type WorkQueue } from "#store/work-queue.ts";
import { enforcedCondition } from "./policy-condition.ts";
import {
  kindsWithStatus,
  type NodeWords,
  nodeWordsRow,
  nodeWordsTable,
  policyObjectRow,
  policyObjectTable,
} from "./policy-tables.ts";

export interface PolicyStatusDeps {
  readonly client: KubeClient;
  readonly db: Database;
  readonly health: Health;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

/** Every agent gets every write of a status, so there is a limit to them; what waits for its turn takes up further news meanwhile. */
const rate = { perSec: 5, burst: 20 };
/** As long as the nodes take to speak of the same thing one after the other: see the agents' `statusPace`. */
const leastWaitMs = 1000;
const waitMsPerNode = 100;
/** A policy that nobody speaks of is taken for one that selects nothing after so many times that. */
const silence = 5;

/**
 * Puts together what the nodes say (NodePolicyStatus) and tells it in the status of each policy that has one: where it is in force, what
 * it costs, who has no room for it.
 */
export function startPolicyConditions(deps: PolicyStatusDeps): AsyncDisposable {
  const { client, db, health, log, signal, clock = systemClock } = deps;
  const policies = policyObjectTable(db);
  const nodes = nodeWordsTable(db);
  const stack = new AsyncDisposableStack();
  const queue = stack.use(
    startWorkQueue({ name: "policy-status/write", rate, health, log, signal, clock, work: tell }),
  );
  const waitMs = () => Math.max(leastWaitMs, nodes.size * waitMsPerNode);
  const heard = stack.use(new Delay(queue, waitMs, clock));
  const unheard = stack.use(new Delay(queue, () => silence * waitMs(), clock));
  const before = new Map<string, NodeWords>();
  stack.use(
    startController({
      name: "policy-status",
      inputs: { policies, nodes },
      signal,
      health,
      log,
      run(changes) {
        const spoken = new Set<string>();
        for (const [node, change] of changes.nodes)
          for (const policy of differing(before, node, change)) spoken.add(policy);
        for (const policy of changes.policies.keys()) {
          if (policies.get(policy)?.told || isSpokenOf(policy)) spoken.add(policy);
          else unheard.add(policy);
        }
        for (const policy of spoken) heard.add(policy);
        return `${policies.size} policies, ${nodes.size} node(s)`;
      },
    }),
  );
  const common = { client, db, health, log, signal };
  const resource = resources.nodePolicyStatuses;
  for (const [kind, of] of Object.entries(kindsWithStatus))
    stack.use(
      reflect({ ...common, resource: of, table: policies, toRow: (object) => policyObjectRow(kind, object) }),
    );
  stack.use(reflect({ ...common, resource, table: nodes, toRow: nodeWordsRow }));
  return stack;

  function isSpokenOf(policy: string): boolean {
    return !nodes.by("policy", policy)[Symbol.iterator]().next().done;
  }

  async function tell(policy: string, until: AbortSignal): Promise<void> {
    const row = policies.get(policy);
    if (!row) return;
    const words = Array.from(nodes.by("policy", policy), (one) => ({
      node: one.node,
      said: one.policies.get(policy)!,
    }));
    const condition = enforcedCondition(words, row.valid);
    const { told, kind, namespace, name } = row;
    if (told && conditionText(told) === conditionText(condition)) return;
    const since = told?.status === condition.status ? Date.parse(told.lastTransitionTime ?? "") : Number.NaN;
    const sinceMs = Number.isNaN(since) ? Date.now() : since;
    const subject = { resource: kindsWithStatus[kind]!, kind, namespace, name };
    await tellCondition(client, subject, condition, { manager: "weft-operator", sinceMs, signal: until });
  }
}

/** Policies of which a node says something else than before. Keeps what it says. */
function differing(before: Map<string, NodeWords>, node: string, change: Change<NodeWords>): string[] {
  const was = before.get(node)?.policies;
  const is = change.kind === "put" ? change.row.policies : undefined;
  if (change.kind === "put") before.set(node, change.row);
  else before.delete(node);
  const all = new Set([...(was?.keys() ?? []), ...(is?.keys() ?? [])]);
  return [...all].filter((policy) => JSON.stringify(was?.get(policy)) !== JSON.stringify(is?.get(policy)));
}

/** Keys that come to a queue a while later, all that came meanwhile at once. */
class Delay implements Disposable {
  readonly #keys = new Set<string>();
  readonly #queue: WorkQueue;
  readonly #waitMs: () => number;
  readonly #clock: Clock;
  #cancel: (() => void) | undefined;

  constructor(queue: WorkQueue, waitMs: () => number, clock: Clock) {
    this.#queue = queue;
    this.#waitMs = waitMs;
    this.#clock = clock;
  }

  add(key: string): void {
    this.#keys.add(key);
    this.#cancel ??= this.#clock.after(this.#waitMs(), () => {
      this.#cancel = undefined;
      for (const one of this.#keys) this.#queue.add(one);
      this.#keys.clear();
    });
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }
}
