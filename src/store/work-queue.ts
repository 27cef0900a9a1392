// SPDX-License-Identifier: Apache-2.0
import { type BackoffOptions, backoffMs } from "#lib/backoff.ts";
import { type Clock, systemClock } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";

export interface WorkQueueOptions {
  /** Names it in health and log: `operator/pod-cidrs`. */
  readonly name: string;
  /** Makes the world agree with what the tables say of the key, whatever that is by now. A throw: again, after a wait. */
  work(key: string, signal: AbortSignal): Promise<void>;
  /** Keys worked on at a time. Default 4. */
  readonly parallel?: number;
  /** Starts of work a second, and how many at once after a pause. Default: no limit. */
  readonly rate?: { readonly perSec: number; readonly burst: number };
  /** Default 100 ms to 60 s, per key. */
  readonly backoff?: BackoffOptions;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface WorkQueue extends AsyncDisposable {
  /** A key waits at most once; one that is being worked on has its turn again afterwards. */
  add(key: string): void;
  /** Keys that wait, are worked on, or failed and will be tried again. */
  readonly size: number;
}

interface Failure {
  count: number;
  error: string;
  cancel: () => void;
}

/** Keys whose objects have to be looked at: each by one at a time, in the order they came, at a bounded rate. */
export function startWorkQueue(options: WorkQueueOptions): WorkQueue {
  return new KeyedQueue(options);
}

class KeyedQueue implements WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #clock: Clock;
  readonly #waiting = new Set<string>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #again = new Set<string>();
  readonly #failures = new Map<string, Failure>();
  readonly #stop = new AbortController();
  #tokens: number;
  #refilledMs: number;
  #timer: (() => void) | undefined;
  #scheduled = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#tokens = options.rate?.burst ?? Number.POSITIVE_INFINITY;
    this.#refilledMs = this.#clock.now();
    options.signal.addEventListener("abort", this.#end, { once: true });
    if (options.signal.aborted) this.#end();
    else options.health.set(options.name, "ok", "idle");
  }

  get size(): number {
    return this.#waiting.size + this.#running.size + this.#failures.size;
  }

  add(key: string): void {
    if (this.#stop.signal.aborted) return;
    if (this.#running.has(key)) this.#again.add(key);
    else {
      this.#waiting.add(key);
      this.#pump();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.signal.removeEventListener("abort", this.#end);
    this.#end();
    await Promise.all(this.#running.values());
  }

  readonly #end = (): void => {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(this.#options.signal.reason);
    this.#timer?.();
    for (const { cancel } of this.#failures.values()) cancel();
    this.#waiting.clear();
    this.#options.health.set(this.#options.name, "stopped", "");
  };

  /** One turn of the event loop later: what one event causes arrives together and is looked at once. */
  #pump(): void {
    if (this.#scheduled || this.#stop.signal.aborted) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#start();
    });
  }

  #start(): void {
    const { parallel = 4 } = this.#options;
    for (const key of this.#waiting) {
      if (this.#stop.signal.aborted || this.#running.size >= parallel || !this.#mayStart()) return;
      this.#waiting.delete(key);
      this.#failures.get(key)?.cancel();
      this.#running.set(key, this.#run(key));
    }
  }

  /** Takes a token; without one, starts again when there is one. */
  #mayStart(): boolean {
    const { rate } = this.#options;
    if (!rate) return true;
    const nowMs = this.#clock.now();
    const grown = ((nowMs - this.#refilledMs) / 1000) * rate.perSec;
    this.#tokens = Math.min(rate.burst, this.#tokens + Math.max(0, grown));
    this.#refilledMs = nowMs;
    if (this.#tokens >= 1) {
      this.#tokens--;
      return true;
    }
    this.#timer?.();
    this.#timer = this.#clock.after(Math.ceil(((1 - this.#tokens) / rate.perSec) * 1000), () =>
      this.#start(),
    );
    return false;
  }

  async #run(key: string): Promise<void> {
    const { work, name, log } = this.#options;
    try {
      await work(key, this.#stop.signal);
      if (this.#failures.delete(key)) log.info({ queue: name, key }, "works again");
    } catch (thrown) {
      if (!this.#stop.signal.aborted) this.#failed(key, errorText(thrown));
    } finally {
      this.#running.delete(key);
      if (this.#again.delete(key)) this.add(key);
      this.#report();
      this.#pump();
    }
  }

  #failed(key: string, error: string): void {
    const { name, log, backoff = { minMs: 100, maxMs: 60_000 } } = this.#options;
    const count = (this.#failures.get(key)?.count ?? 0) + 1;
    const cancel = this.#clock.after(backoffMs(count, backoff), () => this.add(key));
    this.#failures.set(key, { count, error, cancel });
    // The first one is often a conflict with somebody who was faster.
    if (count === 2) log.warn({ queue: name, key, err: error }, "failed twice, will be tried again");
  }

  #report(): void {
    if (this.#stop.signal.aborted) return;
    const { name, health } = this.#options;
    const failing = [...this.#failures].find(([, { count }]) => count > 1);
    if (failing) {
      const [key, { error }] = failing;
      health.set(name, "degraded", `${this.#failures.size} failing: ${key}: ${error}`);
    } else health.set(name, "ok", this.size === 0 ? "idle" : "working");
  }
}
