// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "#lib/clock.ts";
import { hash32 } from "#lib/hash.ts";
import { type Candidate, freeFromMs, holderOf, type LeaseObject, type Observed, observe } from "./lease.ts";

/** Free Leases are taken after up to so long, each by another node first: not all run for each at once, and not one gets them all. */
const spreadMs = 250;

const never: Observed = { lease: undefined, sinceMs: Number.NEGATIVE_INFINITY };

/** Leases as they were last seen: by the watch, or in the answer to a write of ours, whichever is newer. */
export class SeenLeases {
  readonly #us: Candidate;
  readonly #clock: Clock;
  readonly #seen = new Map<string, Observed>();

  constructor(us: Candidate, clock: Clock) {
    this.#us = us;
    this.#clock = clock;
  }

  names(): Iterable<string> {
    return this.#seen.keys();
  }

  of(name: string): Observed {
    return this.#seen.get(name) ?? never;
  }

  /** Takes note of a Lease. False: it is older than what is known. */
  note(lease: LeaseObject): boolean {
    if (!this.isNews(lease)) return false;
    const name = lease.metadata?.name ?? "";
    this.#seen.set(name, observe(this.#seen.get(name), lease, this.#clock.now()));
    return true;
  }

  /** What a watch brings may be older than the answer to a write of ours. Versions only grow (KEP-5504). */
  isNews({ metadata }: LeaseObject): boolean {
    const known = this.#seen.get(metadata?.name ?? "")?.lease;
    return !(Number(metadata?.resourceVersion) < Number(known?.metadata?.resourceVersion));
  }

  /** There is no such Lease: since now, unless that was known. */
  noteMissing(name: string): void {
    if (this.#seen.has(name) && this.of(name).lease === undefined) return;
    this.#seen.set(name, { lease: undefined, sinceMs: this.#clock.now() });
  }

  forget(name: string): LeaseObject | undefined {
    const { lease } = this.of(name);
    this.#seen.delete(name);
    return lease;
  }

  isOurs(name: string): boolean {
    return holderOf(this.of(name)) === this.#us.identity;
  }

  /** From when on we may try to take it. */
  freeFromMs(name: string): number {
    if (this.isOurs(name)) return 0;
    return freeFromMs(this.of(name), this.#us) + (hash32(`${name} ${this.#us.identity}`) % spreadMs);
  }
}
