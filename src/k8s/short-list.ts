// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "#lib/clock.ts";

/** Fewer than this may vanish at once without further questions. */
const fewest = 5;
/** How often, and how many times, a list has to be confirmed. */
const confirmMs = 10_000;
const confirmations = 3;

export interface ShortListOptions {
  readonly clock: Clock;
  /** Reads the whole collection: keys of its objects. */
  list(): Promise<ReadonlySet<string>>;
  /** They are gone for sure. */
  remove(keys: readonly string[]): void;
  /** Something is held back (how many), or nothing any more (0) and why. */
  onState(missing: number, why: "held" | "confirmed" | "back"): void;
}

/**
 * Guards against a server that has lost its state, wholly or in part, and does not know it: a full list that lacks most of what was known is believed
 * only when three more lists, ten seconds apart, say the same. What vanishes by a watch event, one by one, is not questioned.
 */
export class ShortListGuard {
  readonly #options: ShortListOptions;
  #suspects = new Set<string>();
  #confirmed = 0;
  #cancel: (() => void) | undefined;

  constructor(options: ShortListOptions) {
    this.#options = options;
  }

  /** A full list arrived that lacks `missing` of `known` objects: which of them may be removed now. */
  check(missing: readonly string[], known: number): readonly string[] {
    const before = this.#suspects.size;
    this.#reset();
    if (missing.length < fewest || missing.length * 2 <= known) {
      if (before > 0) this.#options.onState(0, "back");
      return missing;
    }
    this.#suspects = new Set(missing);
    this.#options.onState(missing.length, "held");
    this.#schedule();
    return [];
  }

  /** The server spoke of an object: it is no suspect any more. */
  seen(key: string): void {
    this.#suspects.delete(key);
  }

  stop(): void {
    this.#reset();
  }

  #reset(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#suspects = new Set();
    this.#confirmed = 0;
  }

  #schedule(): void {
    this.#cancel = this.#options.clock.after(confirmMs, () => {
      const asked = this.#suspects;
      // A list that fails says nothing; the next one may.
      void this.#options.list().then(
        (present) => asked === this.#suspects && this.#judge(present),
        () => asked === this.#suspects && this.#schedule(),
      );
    });
  }

  #judge(present: ReadonlySet<string>): void {
    for (const key of this.#suspects) if (present.has(key)) this.#suspects.delete(key);
    const left = [...this.#suspects];
    if (left.length >= fewest && ++this.#confirmed < confirmations) {
      this.#schedule();
      return;
    }
    this.#reset();
    this.#options.remove(left);
    this.#options.onState(0, left.length >= fewest ? "confirmed" : "back");
  }
}
