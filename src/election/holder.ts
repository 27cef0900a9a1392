// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound, KubeError } from "#k8s/errors.ts";
import { runInformer } from "#k8s/informer.ts";
import { resources } from "#k8s/resource.ts";
import { type Clock, monotonicClock } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { LeaseObject } from "./lease.ts";
import { type LeaseRequestOptions, type LeaseRequests, leaseRequests } from "./requests.ts";
import { SeenLeases } from "./seen-leases.ts";

/** The label is that of these Leases and no others: they are watched by it. Who comes back under an identity goes on with what it held. */
export interface LeaseHolderOptions extends LeaseRequestOptions {
  readonly client: LeaseRequestOptions["client"] & Pick<KubeClient, "list" | "stream">;
  /** Part of the program, in health. */
  readonly part: string;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
  /** Measures time that passes; must not jump with the wall clock. */
  readonly clock?: Clock;
  /** A Lease is ours until then (by the clock), renewed or new; undefined: no longer. */
  onHeld(name: string, untilMs: number | undefined): void;
  /** Resolves when what was done with a Lease that is ours no longer has ended: only then it is given up. */
  ended(name: string): Promise<void>;
}

/** What is known and done about one Lease that is wanted. */
interface Wanted {
  /** Ours until then; undefined: it is not. Somebody else may take it later still. */
  heldUntilMs: number | undefined;
  /** Nothing is tried before. */
  waitUntilMs: number;
  attempt: Promise<void> | undefined;
  cancel: () => void;
}

/**
 * Holds Leases of many names at once, for as long as they are wanted and can be had. All are watched by one watch, so that a candidate asks only when
 * one is free or its holder has not renewed it; a holder renews three times in a Lease's time. A Lease counts as ours until shortly
 * before anybody else may take it, whether or not the API server answers. What is wanted no more is deleted, when we hold it; at the end all stay as they are, for
 * whoever comes back under the same identity.
 */
export class LeaseHolder implements Disposable {
  readonly #options: LeaseHolderOptions;
  readonly #clock: Clock;
  readonly #requests: LeaseRequests;
  readonly #wanted = new Map<string, Wanted>();
  readonly #seen: SeenLeases;
  readonly #problems = new Map<string, string>();
  /** No longer wanted, and not given up yet. */
  readonly #leaving = new Set<string>();
  readonly #settled = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #isListed = false;
  #hasWishes = false;

  constructor(options: LeaseHolderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? monotonicClock;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.#seen = new SeenLeases(options, this.#clock);
    this.#requests = leaseRequests(options, this.#signal);
    this.#signal.addEventListener("abort", () => this.#end(), { once: true });
    options.health.set(options.part, "starting", "");
    void this.#watch();
  }

  /** Which Leases are wanted from now on. */
  want(names: ReadonlySet<string>): void {
    for (const name of [...this.#wanted.keys()]) if (!names.has(name)) this.#giveUp(name);
    for (const name of names) {
      if (this.#wanted.has(name) || this.#signal.aborted) continue;
      this.#wanted.set(name, {
        heldUntilMs: undefined,
        waitUntilMs: 0,
        attempt: undefined,
        cancel: () => {},
      });
      if (this.#isListed && this.#seen.of(name).lease === undefined) this.#seen.noteMissing(name);
      this.#look(name);
    }
    this.#hasWishes = true;
    this.#dropUnwanted();
    this.#report();
  }

  /** Resolves when it is known of each Lease that was ours in an earlier life whether it still is. Not before something is wanted. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  #end(): void {
    for (const { cancel } of this.#wanted.values()) cancel();
    this.#options.health.set(this.#options.part, "stopped", "");
  }

  async #watch(): Promise<void> {
    const { client, namespace, label } = this.#options;
    await runInformer<LeaseObject>({
      client: client as KubeClient,
      resource: resources.leases,
      namespace,
      labelSelector: label.join("="),
      signal: this.#signal,
      onList: (leases) => {
        this.#isListed = true;
        const there = new Set(leases.map(({ metadata }) => metadata?.name));
        for (const lease of leases) this.#note(lease);
        for (const name of [...this.#seen.names(), ...this.#wanted.keys()])
          if (!there.has(name)) this.#noteGone(name);
        this.#dropUnwanted();
        for (const name of this.#wanted.keys()) this.#look(name);
        this.#report();
      },
      onEvents: (events) => {
        for (const { kind, object } of events) {
          const name = object.metadata?.name ?? "";
          if (kind === "put") this.#note(object);
          else if (this.#seen.isNews(object)) this.#noteGone(name);
          this.#look(name);
        }
        this.#dropUnwanted();
      },
      onState: (problem) => {
        if (problem === undefined) this.#problems.delete("");
        else this.#problems.set("", errorText(problem));
        this.#report();
      },
    });
  }

  #note(lease: LeaseObject): void {
    if (!this.#seen.note(lease)) return;
    const name = lease.metadata?.name ?? "";
    const wanted = this.#wanted.get(name);
    if (wanted?.heldUntilMs !== undefined && !this.#seen.isOurs(name))
      this.#lose(name, wanted, "another has it");
  }

  #noteGone(name: string): void {
    const wanted = this.#wanted.get(name);
    if (!wanted) this.#seen.forget(name);
    else {
      this.#seen.noteMissing(name);
      if (wanted.heldUntilMs !== undefined) this.#lose(name, wanted, "it is gone");
    }
  }

  #lose(name: string, wanted: Wanted, why: string): void {
    wanted.heldUntilMs = undefined;
    this.#options.log.warn({ lease: name, why }, "lost a lease");
    this.#options.onHeld(name, undefined);
  }

  /** Does what there is to do about a Lease, or waits until there is. */
  #look(name: string): void {
    const wanted = this.#wanted.get(name);
    if (!wanted || wanted.attempt || this.#signal.aborted || !this.#isListed) return;
    wanted.cancel();
    const nowMs = this.#clock.now();
    if (wanted.heldUntilMs !== undefined && nowMs >= wanted.heldUntilMs)
      this.#lose(name, wanted, "it could not be renewed");
    const dueMs = Math.max(wanted.waitUntilMs, this.#seen.freeFromMs(name));
    if (nowMs < dueMs) {
      const nextMs = Math.min(dueMs, wanted.heldUntilMs ?? dueMs);
      wanted.cancel = this.#clock.after(Math.max(1, nextMs - nowMs), () => this.#look(name));
      return;
    }
    wanted.attempt = this.#attempt(name, wanted).finally(() => {
      wanted.attempt = undefined;
      this.#report();
      this.#look(name);
    });
    // While it waits for an answer, time may run out.
    const leftMs = (wanted.heldUntilMs ?? Number.POSITIVE_INFINITY) - nowMs;
    if (leftMs < Number.POSITIVE_INFINITY)
      wanted.cancel = this.#clock.after(leftMs, () => {
        if (wanted.heldUntilMs !== undefined && this.#clock.now() >= wanted.heldUntilMs)
          this.#lose(name, wanted, "it could not be renewed");
      });
  }

  /** Writes us into the Lease as it was last seen. */
  async #attempt(name: string, wanted: Wanted): Promise<void> {
    const { leaseMs, log } = this.#options;
    const startMs = this.#clock.now();
    const wasHeld = wanted.heldUntilMs !== undefined;
    try {
      const written = await this.#requests.write(name, this.#seen.of(name));
      this.#note(written);
      if (this.#wanted.get(name) !== wanted) return;
      this.#problems.delete(name);
      wanted.heldUntilMs = startMs + leaseMs - leaseMs / 15;
      wanted.waitUntilMs = startMs + leaseMs / 3;
      if (!wasHeld) log.info({ lease: name }, "holds a lease");
      if (this.#clock.now() < wanted.heldUntilMs) this.#options.onHeld(name, wanted.heldUntilMs);
    } catch (thrown) {
      if (this.#signal.aborted) return;
      await this.#readAgain(name, thrown);
      wanted.waitUntilMs = this.#clock.now() + leaseMs / 15;
    }
  }

  /** A write was refused because the Lease is another by now: what it is comes by the watch, unless it lacks the label. Anything else is a problem. */
  async #readAgain(name: string, thrown: unknown): Promise<void> {
    try {
      const wasThere = this.#seen.of(name).lease !== undefined;
      const isAnother =
        thrown instanceof KubeError && (thrown.status === 409 || (thrown.status === 404 && wasThere));
      if (!isAnother) throw thrown;
      this.#note(await this.#requests.read(name));
    } catch (problem) {
      if (isNotFound(problem) && problem !== thrown) this.#noteGone(name);
      else this.#problems.set(name, errorText(problem));
    }
  }

  #giveUp(name: string): void {
    const wanted = this.#wanted.get(name)!;
    this.#wanted.delete(name);
    this.#problems.delete(name);
    wanted.cancel();
    if (wanted.heldUntilMs !== undefined) this.#options.onHeld(name, undefined);
    void this.#leave(name, wanted.attempt);
  }

  async #leave(name: string, attempt: Promise<void> | undefined): Promise<void> {
    const { ended, log, leaseMs } = this.#options;
    this.#leaving.add(name);
    try {
      await attempt;
      await ended(name);
      if (!this.#wanted.has(name)) await this.#delete(name);
      this.#leaving.delete(name);
    } catch (thrown) {
      if (this.#signal.aborted) return;
      log.info({ lease: name, err: errorText(thrown) }, "could not give a lease up, it will run out");
      this.#clock.after(leaseMs, () => {
        this.#leaving.delete(name);
        this.#dropUnwanted();
      });
    }
  }

  /** What we hold and do not want: of an earlier life. What that one did with it may still be going on, until its time is over. */
  #dropUnwanted(): void {
    if (!this.#isListed || !this.#hasWishes || this.#signal.aborted) return;
    for (const name of this.#seen.names())
      if (!this.#wanted.has(name) && !this.#leaving.has(name) && this.#seen.isOurs(name))
        void this.#leave(name, undefined);
  }

  async #delete(name: string): Promise<void> {
    const lease = this.#seen.forget(name);
    if (lease?.spec?.holderIdentity === this.#options.identity) await this.#requests.remove(name, lease);
  }

  #report(): void {
    if (this.#signal.aborted) return;
    const { health, part } = this.#options;
    let held = 0;
    let unknown = 0;
    for (const [name, { heldUntilMs }] of this.#wanted) {
      if (heldUntilMs !== undefined) held++;
      else if (this.#seen.isOurs(name)) unknown++;
    }
    if (this.#hasWishes && this.#isListed && unknown === 0) this.#settled.resolve();
    const text = `${held} of ${this.#wanted.size} lease(s) held here`;
    const [problem] = this.#wanted.size > 0 ? this.#problems : [];
    if (problem) health.set(part, "degraded", `${text}; ${problem.filter(Boolean).join(": ")}`);
    else if (!this.#isListed) health.set(part, "starting", "");
    else health.set(part, "ok", text);
  }
}
