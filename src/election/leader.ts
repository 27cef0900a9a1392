// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { resources } from "#k8s/resource.ts";
import { type Clock, monotonicClock, pause } from "#lib/clock.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { heldBy, holderOf, type LeaseObject, mayTake, type Observed, observe, released } from "./lease.ts";

export interface ElectionOptions {
  readonly client: Pick<KubeClient, "get" | "create" | "replace">;
  readonly namespace: string;
  readonly name: string;
  /** Who we are in the lease: unique among the candidates, and in time. */
  readonly identity: string;
  readonly leaseMs: number;
  readonly renewMs: number;
  readonly retryMs: number;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
  /** Measures time that passes; must not jump with the wall clock. */
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Does the leader's work until the signal aborts: because the lease is lost, or all stops. */
  lead(signal: AbortSignal): Promise<void>;
}

/**
 * Leader election by a Lease, with client-go's rules: a candidate takes a lease that is free, given up, or unchanged for its duration by
 * the candidate's own clock; a leader that could not renew for `renewMs` stops its work before anybody else may begin. A leader that
 * loses the lease ends its work and is a candidate again. Resolves when the signal aborts, with the lease given up; rejects with what the work threw.
 */
export async function runElection(options: ElectionOptions): Promise<void> {
  const election = new Election(options);
  const { signal } = options;
  while (!signal.aborted) {
    await election.acquire();
    if (signal.aborted) break;
    await election.leadWhileHeld();
  }
}

class Election {
  readonly #options: ElectionOptions;
  readonly #clock: Clock;
  #seen: Observed | undefined;
  /** When the newest renewal that succeeded was begun. */
  #renewedMs = 0;
  /** When the lease was last read. */
  #answeredMs = 0;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? monotonicClock;
  }

  /** Resolves when the lease is ours, or the signal aborts. */
  async acquire(): Promise<void> {
    const { signal, retryMs, leaseMs, health, random = Math.random } = this.#options;
    let told = "";
    while (!signal.aborted) {
      const problem = await this.#attempt(leaseMs);
      if (problem === undefined) return;
      const answered = this.#seen !== undefined && this.#clock.now() - this.#answeredMs <= leaseMs;
      health.set("leader", answered ? "ok" : "degraded", `candidate: ${problem}`);
      if (problem !== told) this.#options.log.info({ problem }, "waiting to become the leader");
      told = problem;
      await pause(retryMs * (1 + random() / 5), signal, this.#clock);
    }
  }

  async leadWhileHeld(): Promise<void> {
    const { signal, health, log, identity } = this.#options;
    health.set("leader", "ok", "leader");
    log.info({ identity }, "became the leader");
    const stop = new AbortController();
    const end = () => stop.abort(signal.reason);
    signal.addEventListener("abort", end, { once: true });
    const work = this.#options.lead(stop.signal);
    const held = this.#renewUntilLost(stop.signal);
    try {
      await Promise.race([work, held]);
    } finally {
      stop.abort(new WeftError("E_LEASE_LOST", "the lease is lost"));
      await Promise.allSettled([work, held]);
      signal.removeEventListener("abort", end);
      health.set("leader", "ok", "candidate");
      if ((await held) === "held") await this.#release();
    }
    await work;
  }

  /** Renews until the signal aborts (then the lease is still held), or until it is lost. */
  async #renewUntilLost(signal: AbortSignal): Promise<"held" | "lost"> {
    const { retryMs, renewMs, log, identity } = this.#options;
    const leftMs = () => this.#renewedMs + renewMs - this.#clock.now();
    for (let problem: string | undefined; ; ) {
      await pause(Math.max(0, Math.min(retryMs, leftMs())), signal, this.#clock);
      if (signal.aborted) return "held";
      const left = leftMs();
      if (left > 0) problem = await this.#attempt(left);
      if (signal.aborted) return "held";
      if (problem === undefined) continue;
      if (leftMs() > 0 && this.#seen && holderOf(this.#seen) === identity) continue;
      log.warn({ problem }, "lost the lease, stopping the leader's work");
      return "lost";
    }
  }

  /** Tries to write us into the lease; undefined: done, else what is in the way. */
  async #attempt(timeoutMs: number): Promise<string | undefined> {
    const { identity, leaseMs, namespace, name, client } = this.#options;
    const startMs = this.#clock.now();
    try {
      return await this.#bounded(timeoutMs, async (signal) => {
        this.#seen = observe(this.#seen, await this.#read(signal), this.#clock.now());
        this.#answeredMs = this.#clock.now();
        if (!mayTake(this.#seen, { identity, leaseMs }, this.#clock.now()))
          return `${holderOf(this.#seen)} is the leader`;
        const wanted = heldBy(this.#seen, { namespace, name, identity, leaseMs, wallTime: new Date() });
        const { lease } = this.#seen;
        const written = lease
          ? await client.replace<LeaseObject>(resources.leases, wanted, { signal })
          : await client.create<LeaseObject>(resources.leases, wanted, { signal });
        this.#seen = observe(this.#seen, written, this.#clock.now());
        this.#renewedMs = startMs;
        return undefined;
      });
    } catch (thrown) {
      return errorText(thrown);
    }
  }

  async #read(signal: AbortSignal): Promise<LeaseObject | undefined> {
    const { client, namespace, name } = this.#options;
    try {
      return await client.get<LeaseObject>(resources.leases, { namespace, name }, signal);
    } catch (thrown) {
      if (isNotFound(thrown)) return undefined;
      throw thrown;
    }
  }

  /** So that nobody has to wait for the lease to run out. Best effort: it will. */
  async #release(): Promise<void> {
    const { identity, client, log } = this.#options;
    const lease = this.#seen && holderOf(this.#seen) === identity ? this.#seen.lease : undefined;
    if (!lease) return;
    const limit = AbortSignal.timeout(2_000);
    try {
      await client.replace<LeaseObject>(resources.leases, released(lease, new Date()), { signal: limit });
      log.info({ identity }, "gave the lease up");
    } catch (thrown) {
      log.warn({ error: errorText(thrown) }, "could not give the lease up, it will run out");
    }
  }

  /** A request that hangs must not hide that time is up. */
  async #bounded<T>(timeoutMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal } = this.#options;
    const limit = new AbortController();
    const stop = () => limit.abort(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    const cancel = this.#clock.after(timeoutMs, () =>
      limit.abort(
        new WeftError("E_TIMEOUT", `the API server did not answer within ${Math.round(timeoutMs)} ms`),
      ),
    );
    try {
      signal.throwIfAborted();
      return await work(limit.signal);
    } finally {
      cancel();
      signal.removeEventListener("abort", stop);
    }
  }
}
