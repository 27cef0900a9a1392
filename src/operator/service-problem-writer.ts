// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import type { EventRecorder } from "#k8s/events.ts";
import { resources } from "#k8s/resource.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Address } from "#model/ip.ts";
import { startController } from "#store/controller.ts";
import { startWorkQueue } from "#store/work-queue.ts";
import {
  conditionType,
  type ServiceProblem,
  ServiceProblems,
  type WatchedService,
} from "./service-problems.ts";
import type { OperatorTables } from "./tables.ts";

export interface ServiceProblemDeps {
  readonly client: KubeClient;
  readonly tables: Pick<OperatorTables, "watchedServices" | "foreignSlices" | "kubeNodes">;
  readonly events: EventRecorder;
  readonly health: Health;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** A Service with a thousand wrong endpoints needs no longer text. */
const maxMessage = 4096;

/**
 * Says on a Service what of it is not served as it asks: in a condition of its status as long as it is so, in an Event when it
 * begins to be. The condition is also the memory: who leads next finds there what has been said.
 */
export function startServiceProblems(deps: ServiceProblemDeps): AsyncDisposable {
  const { client, tables, events, health, log, signal } = deps;
  const { watchedServices: services, foreignSlices, kubeNodes } = tables;
  const isNode = (address: Address) => !kubeNodes.by("address", address)[Symbol.iterator]().next().done;
  const problems = new ServiceProblems({ services, isNode }, foreignSlices);
  const sliceService = new Map<string, string>();
  /** What this process said last; a row may be older. */
  const spoken = new Map<string, { readonly uid: string; readonly text: string }>();
  const troubled = new Set<string>();
  const stack = new AsyncDisposableStack();
  const queue = stack.use(
    startWorkQueue({
      name: "service-problems/services",
      parallel: 4,
      rate: { perSec: 10, burst: 100 },
      signal,
      health,
      log,
      async work(key, until) {
        const row = services.get(key);
        if (!row) return;
        const found = problems.of(key);
        const text = messageOf(found);
        if (text === (row.said ?? "") || !(await patchStatus(client, row, found, until))) return;
        const last = spoken.get(key);
        tell(events, row, found, last?.uid === row.uid ? last.text : (row.said ?? ""));
        spoken.set(key, { uid: row.uid, text });
      },
    }),
  );
  const look = (key: string) => {
    const found = problems.of(key);
    if (found.length > 0) troubled.add(key);
    else troubled.delete(key);
    if (messageOf(found) !== (services.get(key)?.said ?? "")) queue.add(key);
  };
  stack.use(
    startController({
      name: "service-problems",
      inputs: { services, foreignSlices },
      signal,
      health,
      log,
      run(changes) {
        const concerned = new Set<string>();
        for (const key of changes.services.keys())
          for (const other of problems.update(key)) concerned.add(other);
        for (const [key, { kind, row }] of changes.foreignSlices) {
          concerned.add(row.service).add(sliceService.get(key) ?? row.service);
          if (kind === "put") sliceService.set(key, row.service);
          else sliceService.delete(key);
        }
        for (const key of concerned) look(key);
        for (const [key, { kind }] of changes.services) if (kind === "delete") spoken.delete(key);
        return troubled.size === 0 ? undefined : `${troubled.size} service(s) not served as they ask`;
      },
    }),
  );
  return stack;
}

function messageOf(problems: readonly ServiceProblem[]): string {
  return problems
    .map(({ message }) => message)
    .join("; ")
    .slice(0, maxMessage);
}

/** @returns false: the Service is gone */
async function patchStatus(
  client: KubeClient,
  { namespace, name }: WatchedService,
  problems: readonly ServiceProblem[],
  signal: AbortSignal,
): Promise<boolean> {
  const condition = {
    type: conditionType,
    status: "False",
    reason: problems[0]?.reason,
    message: messageOf(problems),
    lastTransitionTime: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
  };
  const conditions = [problems.length > 0 ? condition : { $patch: "delete", type: conditionType }];
  try {
    await client.patch(
      resources.services,
      { namespace, name },
      { type: "strategic", body: { status: { conditions } } },
      { subresource: "status", signal },
    );
    return true;
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}

/** What was not said before. */
function tell(
  events: EventRecorder,
  { namespace, name, uid }: WatchedService,
  problems: readonly ServiceProblem[],
  before: string,
): void {
  for (const { reason, message } of problems)
    if (!before.includes(message))
      events.warn({ apiVersion: "v1", kind: "Service", namespace, name, uid }, reason, message);
}
