// SPDX-License-Identifier: Apache-2.0
import { type Clock, systemClock } from "#lib/clock.ts";
import { clusterIdentityRange } from "#model/identity.ts";
import type { Table } from "#store/table.ts";
import type { Identity } from "./identity.ts";
import type { KnownIdentities } from "./ipcache.ts";

/** So long an address waits at most: when a policy cannot be written, its pods must still be reached. */
const patienceMs = 2000;

/**
 * Which identities the policies in the kernel may not know yet: those that came or changed since the policies were last resolved, until
 * what was resolved then is in the kernel. Reserved ones are always known: the addresses of nodes wait for nobody. So is an identity without
 * labels, since nothing is going to be resolved for it.
 */
export class Known implements KnownIdentities, Disposable {
  readonly #clock: Clock;
  /** Came since the last resolving. */
  #fresh = new Set<number>();
  readonly #unknown = new Set<number>();
  readonly #waiting = new Map<number, (() => void)[]>();
  readonly #stop: () => void;

  constructor(identities: Table<Identity>, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#stop = identities.onCommit((keys) => {
      const gone: number[] = [];
      for (const key of keys) {
        const id = Number(key);
        if (id < clusterIdentityRange.first) continue;
        if (identities.get(key)) {
          this.#fresh.add(id);
          this.#unknown.add(id);
        } else if (this.#unknown.has(id)) gone.push(id);
      }
      this.#release(gone);
    });
  }

  isKnown(identity: number): boolean {
    return !this.#unknown.has(identity);
  }

  whenKnown(identity: number, then: () => void): void {
    const found = this.#waiting.get(identity);
    if (this.isKnown(identity)) then();
    else if (found) found.push(then);
    else this.#waiting.set(identity, [then]);
  }

  /** Resolves when all are known that are here now. */
  async all(): Promise<void> {
    await Promise.all(
      Array.from(this.#unknown, (id) => new Promise<void>((resolve) => this.whenKnown(id, resolve))),
    );
  }

  /** Says that policies were resolved with all identities there are. `inKernel`: what came of it has been written. */
  resolved(inKernel: Promise<void>): void {
    const fresh = this.#fresh;
    if (fresh.size === 0) return;
    this.#fresh = new Set();
    const release = () => this.#release([...fresh].filter((id) => !this.#fresh.has(id)));
    const cancel = this.#clock.after(patienceMs, release);
    inKernel.then(
      () => {
        cancel();
        release();
      },
      () => {},
    );
  }

  [Symbol.dispose](): void {
    this.#stop();
  }

  #release(ids: readonly number[]): void {
    for (const id of ids) {
      this.#unknown.delete(id);
      this.#fresh.delete(id);
    }
    for (const id of ids) {
      const waiting = this.#waiting.get(id) ?? [];
      this.#waiting.delete(id);
      for (const then of waiting) then();
    }
  }
}
