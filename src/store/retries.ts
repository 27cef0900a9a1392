// SPDX-License-Identifier: Apache-2.0
import { type BackoffOptions, backoffMs } from "#lib/backoff.ts";
import type { Clock } from "#lib/clock.ts";

export interface Retry<A> {
  failures: number;
  dueMs: number;
  error: string;
  /** What was tried to be written: the kernel may hold all, some or none of it. */
  last: A | undefined;
  /** Table revision of the first failure. */
  readonly sinceRevision: number;
}

/** The keys whose last write failed, each with its own backoff. */
export class Retries<A> {
  readonly #clock: Clock;
  readonly #backoff: BackoffOptions;
  readonly #byKey = new Map<string, Retry<A>>();

  constructor(clock: Clock, backoff: BackoffOptions) {
    this.#clock = clock;
    this.#backoff = backoff;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): Readonly<Retry<A>> | undefined {
    return this.#byKey.get(key);
  }

  /** @returns how often the key has failed in a row */
  failed(key: string, failure: { error: string; last: A | undefined; revision: number }): number {
    let retry = this.#byKey.get(key);
    if (!retry) {
      retry = { failures: 0, dueMs: 0, error: "", last: undefined, sinceRevision: failure.revision };
      this.#byKey.set(key, retry);
    }
    retry.failures++;
    retry.error = failure.error;
    retry.last = failure.last ?? retry.last;
    retry.dueMs = this.#clock.now() + backoffMs(retry.failures, this.#backoff);
    return retry.failures;
  }

  succeeded(key: string): void {
    this.#byKey.delete(key);
  }

  /** Keys whose wait is over. */
  *due(): Iterable<string> {
    const nowMs = this.#clock.now();
    for (const [key, retry] of this.#byKey) if (retry.dueMs <= nowMs) yield key;
  }

  /** Time until the next one is due; undefined: there is none. */
  nextMs(): number | undefined {
    let dueMs: number | undefined;
    for (const retry of this.#byKey.values()) dueMs = Math.min(dueMs ?? retry.dueMs, retry.dueMs);
    return dueMs === undefined ? undefined : Math.max(0, dueMs - this.#clock.now());
  }

  /** True when a key that was wanted at that revision has not succeeded. */
  since(revision: number): boolean {
    for (const retry of this.#byKey.values()) if (retry.sinceRevision <= revision) return true;
    return false;
  }

  first(): { readonly key: string; readonly error: string } | undefined {
    for (const [key, { error }] of this.#byKey) return { key, error };
    return undefined;
  }
}
