// SPDX-License-Identifier: Apache-2.0
import { v4Bits } from "#model/ip.ts";
import type { BackendEntry } from "#services/entries.ts";
import { type Tuple, tupleText } from "#services/service.ts";

/** A backend that has a number. */
export interface KnownBackend {
  readonly id: number;
  readonly tuple: Tuple;
  terminating: boolean;
  /** How many slots of frontends hold it. */
  holders: number;
  /** The map has it, as it is here. */
  written: boolean;
}

/** How much of a key a protocol's place takes. */
const protocols: readonly number[] = [6, 17, 132];

/** What a backend is found by. There are hundreds of thousands of them: for IPv4 a number, of 50 bits, takes a quarter of a text's memory. */
function keyOf(tuple: Tuple): number | string {
  const bits = v4Bits(tuple.address);
  const place = protocols.indexOf(tuple.proto);
  return bits < 0 || place < 0 ? tupleText(tuple) : (bits * 0x1_0000 + tuple.port) * 4 + place;
}

const largest = 0xffff_ffff;

/**
 * Backends and their numbers; a backend that several frontends share is one. A number that became free is given again
 * only after all others: connections remember theirs.
 */
export class BackendIds {
  readonly #byTuple = new Map<number | string, KnownBackend>();
  /** Those in use, from when the numbers have begun anew. */
  #used: Set<number> | undefined;
  #last: number;

  /** @param last numbers up to it count as given before */
  constructor(last = 0) {
    this.#last = last;
  }

  /** The number given last. */
  get last(): number {
    return this.#last;
  }

  values(): Iterable<KnownBackend> {
    return this.#byTuple.values();
  }

  /** Takes over one that the map holds; nobody holds it yet. Undefined when the same backend has another number already. */
  adopt(id: number, tuple: Tuple, terminating: boolean): KnownBackend | undefined {
    this.#last = Math.max(this.#last, id);
    const key = keyOf(tuple);
    return this.#byTuple.has(key)
      ? undefined
      : this.#add(key, { id, tuple, terminating, holders: 0, written: true });
  }

  /** The backend with its number, with one holder more. */
  hold(entry: BackendEntry): KnownBackend {
    const { terminating } = entry;
    const key = keyOf(entry);
    const known =
      this.#byTuple.get(key) ??
      this.#add(key, { id: this.#free(), tuple: entry, terminating, holders: 0, written: false });
    if (known.terminating !== terminating) {
      known.terminating = terminating;
      known.written = false;
    }
    known.holders++;
    return known;
  }

  /** One holder less. @returns true when it was the last: nothing refers to the backend any more, and it is forgotten */
  release(known: KnownBackend): boolean {
    if (--known.holders > 0) return false;
    this.#used?.delete(known.id);
    this.#byTuple.delete(keyOf(known.tuple));
    return true;
  }

  #add(key: number | string, known: KnownBackend): KnownBackend {
    this.#used?.add(known.id);
    this.#byTuple.set(key, known);
    return known;
  }

  #free(): number {
    do {
      if (this.#last >= largest) {
        this.#used ??= new Set([...this.#byTuple.values()].map(({ id }) => id));
        this.#last = 0;
      }
      this.#last++;
    } while (this.#used?.has(this.#last));
    return this.#last;
  }
}
