// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { resources } from "#k8s/resource.ts";
import { type Clock, monotonicClock, pause } from "#lib/clock.ts";
import type { Health } from "#lib/health.ts";
import { startJob } from "#lib/jobs.ts";
import type { Logger } from "#lib/log.ts";
import { startWorkQueue } from "#store/work-queue.ts";
import { type OperatorTables, type UsedIdentity, unusedSinceAnnotation } from "./tables.ts";
import { UnusedIdentities, type Verdict } from "./unused.ts";

export interface IdentityGcDeps {
  readonly client: KubeClient;
  readonly tables: Pick<OperatorTables, "identities" | "endpoints">;
  readonly graceMs: number;
  readonly sweepMs: number;
  readonly health: Health;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

/** Removes CiliumIdentities that no CiliumEndpoint has had for the grace time. */
export function startIdentityGc(deps: IdentityGcDeps): AsyncDisposable {
  const { client, tables, graceMs, sweepMs, health, log, signal, clock = monotonicClock } = deps;
  const { identities, endpoints } = tables;
  const stack = new AsyncDisposableStack();
  const unused = new UnusedIdentities();
  let verdicts = new Map<number, Verdict>();
  let removed = 0;
  const isUsed = (id: number) => {
    for (const _ of endpoints.by("identity", String(id))) return true;
    return false;
  };
  const queue = stack.use(
    startWorkQueue({
      name: "identity-gc/write",
      rate: { perSec: 50, burst: 100 },
      health,
      log,
      signal,
      async work(key, until) {
        const identity = identities.get(key);
        const verdict = verdicts.get(Number(key));
        // The newest word counts: a pod may have taken it since the sweep.
        if (!identity || !verdict || isUsed(identity.id) !== (verdict === "unmark")) return;
        if (verdict === "delete") await remove(client, identity, until);
        else await mark(client, identity, { unused: verdict === "mark", signal: until });
        if (verdict !== "delete") return;
        removed++;
        log.debug({ identity: identity.id }, "identity removed");
      },
    }),
  );
  stack.use(
    startJob({
      name: "identity-gc",
      signal,
      health,
      log,
      async run(until, ok) {
        await Promise.all([identities.ready, endpoints.ready]);
        while (!until.aborted) {
          if (removed > 0)
            log.info({ removed, left: identities.size }, "identities removed: nobody used them");
          removed = 0;
          verdicts = unused.sweep(identities.all(), isUsed, {
            nowMs: clock.now(),
            wallMs: Date.now(),
            graceMs,
          });
          for (const id of verdicts.keys()) queue.add(String(id));
          const marked = [...identities.all()].filter(
            ({ unusedSinceMs }) => unusedSinceMs !== undefined,
          ).length;
          ok(`${identities.size} identities, ${marked} of them unused`);
          await pause(sweepMs, until, clock);
        }
      },
    }),
  );
  return stack;
}

/** Only the object we have seen: one made anew meanwhile under the same number is another. */
async function remove(client: KubeClient, identity: UsedIdentity, signal: AbortSignal): Promise<void> {
  const { id, uid, resourceVersion } = identity;
  try {
    await client.delete(resources.ciliumIdentities, { name: String(id) }, { uid, resourceVersion, signal });
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}

async function mark(
  client: KubeClient,
  { id, resourceVersion }: UsedIdentity,
  { unused, signal }: { unused: boolean; signal: AbortSignal },
): Promise<void> {
  const annotations = { [unusedSinceAnnotation]: unused ? new Date().toISOString() : null };
  const body = { metadata: { resourceVersion, annotations } };
  try {
    await client.patch(resources.ciliumIdentities, { name: String(id) }, { type: "merge", body }, { signal });
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}
