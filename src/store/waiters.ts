// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";

interface Waiter {
  /** Resolves the waiter when true, rejects it when it throws. */
  ready(): boolean;
  resolve(): void;
  reject(thrown: unknown): void;
}

/** Those who wait for a condition that only its owner can see change. */
export class Waiters {
  readonly #name: string;
  readonly #waiting = new Set<Waiter>();
  #closed = false;

  constructor(name: string) {
    this.#name = name;
  }

  /** @throws WeftError E_STOPPED when the owner stops first; the signal's reason when it aborts first; what `ready` throws */
  add(ready: () => boolean, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        ready,
        resolve: () => {
          end();
          resolve();
        },
        reject: (thrown) => {
          end();
          reject(thrown);
        },
      };
      const aborted = () => waiter.reject(signal?.reason);
      const end = () => {
        this.#waiting.delete(waiter);
        signal?.removeEventListener("abort", aborted);
      };
      if (signal?.aborted) return aborted();
      if (this.#closed) return waiter.reject(new WeftError("E_STOPPED", `${this.#name} has stopped`));
      signal?.addEventListener("abort", aborted);
      this.#waiting.add(waiter);
      this.#check(waiter);
    });
  }

  /** To be called when the condition may have changed. */
  check(): void {
    for (const waiter of [...this.#waiting]) this.#check(waiter);
  }

  close(): void {
    this.#closed = true;
    for (const waiter of [...this.#waiting])
      waiter.reject(new WeftError("E_STOPPED", `${this.#name} has stopped`));
  }

  #check(waiter: Waiter): void {
    try {
      if (waiter.ready()) waiter.resolve();
    } catch (thrown) {
      waiter.reject(thrown);
    }
  }
}
