// SPDX-License-Identifier: Apache-2.0
import { type Clock, systemClock } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { startController } from "#store/controller.ts";
import type { Table } from "#store/table.ts";
import type { DatapathEndpoint } from "./table.ts";

export interface PodLinkDeps {
  readonly endpoints: Table<DatapathEndpoint>;
  /** Links the pods behind these devices, as far as they have none; stops early when the signal aborts. @returns how many have one */
  link(ifindexes: ReadonlySet<number>, signal: AbortSignal): Promise<number>;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** Without a pod coming or going; who is being added must not wait for links of others. */
const calmMs = 2_000;

/** Gives pods links (`#datapath/pod-links.ts`) when none has come or gone for a while. */
export function startPodLinks(deps: PodLinkDeps): AsyncDisposable {
  const { endpoints, link, signal, health, log, clock = systemClock } = deps;
  let known: ReadonlySet<number> = new Set();
  let cancel: (() => void) | undefined;
  let running = new AbortController();
  let work: Promise<void> = Promise.resolve();
  const begin = () => {
    const mine = running.signal;
    const wanted = known;
    work = work.then(async () => {
      if (mine.aborted) return;
      try {
        const linked = await link(wanted, AbortSignal.any([signal, mine]));
        log.debug({ pods: wanted.size, linked }, "pods' links");
      } catch (error) {
        log.warn({ error: errorText(error) }, "cannot link pods; their packets take the longer way");
      }
    });
  };
  const stop = () => {
    cancel?.();
    running.abort();
  };
  const controller = startController({
    name: "pod-links",
    inputs: { endpoints },
    signal,
    health,
    log,
    run() {
      const now = new Set([...endpoints.all()].map(({ endpoint }) => endpoint.hostIfindex));
      if (now.symmetricDifference(known).size === 0) return undefined;
      known = now;
      stop();
      running = new AbortController();
      cancel = clock.after(calmMs, begin);
      return undefined;
    },
  });
  return {
    async [Symbol.asyncDispose]() {
      await controller[Symbol.asyncDispose]();
      stop();
      await work;
    },
  };
}
