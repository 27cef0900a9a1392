// SPDX-License-Identifier: Apache-2.0
import { type BackoffOptions, backoffMs } from "#lib/backoff.ts";
import { type Clock, pause, systemClock } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";

export interface JobOptions {
  /** Names the job in health and log: `k8s/pods`. */
  readonly name: string;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Default 200 ms to 30 s. */
  readonly backoff?: BackoffOptions;
  /**
   * Does the work until the signal aborts. When it returns, the job is done; when it throws, the failure is reported
   * and it runs again after a backoff. `ok` says that it works, which also starts the backoff anew.
   */
  run(signal: AbortSignal, ok: (message: string) => void): Promise<void>;
}

/** A long job: it has a name, a health row, a backoff and an end. Disposing aborts it and waits for it. */
export function startJob(options: JobOptions): AsyncDisposable {
  const { name, health, log, clock = systemClock, backoff = { minMs: 200, maxMs: 30_000 } } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  let failures = 0;
  const ok = (message: string) => {
    failures = 0;
    health.set(name, "ok", message);
  };
  const loop = async () => {
    health.set(name, "starting", "");
    while (!signal.aborted) {
      try {
        await options.run(signal, ok);
        break;
      } catch (thrown) {
        if (signal.aborted) break;
        failures++;
        const waitMs = backoffMs(failures, backoff);
        health.set(name, "degraded", errorText(thrown));
        log.warn({ job: name, err: errorText(thrown), failures, waitMs }, "job failed, will run again");
        await pause(waitMs, signal, clock);
      }
    }
    health.set(name, "stopped", "");
  };
  const finished = loop();
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await finished;
    },
  };
}
