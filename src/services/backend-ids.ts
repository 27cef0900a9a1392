// SPDX-License-Identifier: Apache-2.0
import type { BackendEntry } from "#services/entries.ts";
import { type Tuple, tupleText } from "#services/service.ts";

interface KnownBackend {
  readonly id: number;
  readonly tuple: Tuple;
  terminating: boolean;
  /** How many slots of frontends hold it. */
  holders: number;
  /** The map has it, as it is here. */
  written: boolean;
}

/**
 * Backends and their numbers; a backend that several frontends share is one. A number that became free is given again
 * only after all others: connections remember theirs.
 */
export class BackendIds {
  readonly #byTuple = new Map<string, KnownBackend>();
  readonly #byId = new Map<number, KnownBackend>();
  #last: number;

  /** @param last numbers up to it count as given before */
  constructor(last = 0) {
    this.#last = last;
  }

  /** The number given last. */
  get last(): number {
    return this.#last;
  }

  get(id: number): Readonly<KnownBackend> | undefined {
    return this.#byId.get(id);
  }

  /** 0: nobody has it. */
  numberOf(key: string): number {
    return this.#byTuple.get(key)?.id ?? 0;
  }

  values(): Iterable<Readonly<KnownBackend>> {
    return this.#byId.values();
  }

  /** Takes over one that the map holds. False when the same backend has another number already. */
  adopt(id: number, tuple: Tuple, terminating: boolean): boolean {
    this.#last = Math.max(this.#last, id);
    const key = tupleText(tuple);
    if (this.#byTuple.has(key)) return false;
    this.#add(key, { id, tuple, terminating, holders: 0, written: true });
    return true;
  }

  /** The number of a backend, with one holder more. */
  hold(key: string, entry: BackendEntry): number {
    let known = this.#byTuple.get(key);
    if (!known) {
      const { terminating } = entry;
      known = { id: this.#free(), tuple: entry, terminating, holders: 0, written: false };
      this.#add(key, known);
    } else if (known.terminating !== entry.terminating) {
      known.terminating = entry.terminating;
      known.written = false;
    }
    known.holders++;
    return known.id;
  }

  /** One more holder of an adopted one. */
  holdId(id: number): void {
    const known = this.#byId.get(id);
    if (known) known.holders++;
  }

  /** One holder less. @returns true when it was the last: nothing refers to the backend any more, and it is forgotten */
  release(id: number): boolean {
    const known = this.#byId.get(id);
    if (!known || --known.holders > 0) return false;
    this.#byId.delete(id);
    this.#byTuple.delete(tupleText(known.tuple));
    return true;
  }

  /** The map has it now. */
  written(id: number): void {
    const known = this.#byId.get(id);
    if (known) known.written = true;
  }

  #add(key: string, known: KnownBackend): void {
    this.#byTuple.set(key, known);
    this.#byId.set(known.id, known);
  }

  #free(): number {
    do {
      this.#last = this.#last >= 0xffff_ffff ? 1 : this.#last + 1;
    } while (this.#byId.has(this.#last));
    return this.#last;
  }
}
