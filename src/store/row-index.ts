// SPDX-License-Identifier: Apache-2.0

/** Rows by a value of theirs. Most values have one row, which needs no collection of its own. */
export class RowIndex<V> {
  readonly #keyOf: (row: V) => string;
  readonly #one = new Map<string, V>();
  readonly #many = new Map<string, Map<string, V>>();

  constructor(keyOf: (row: V) => string) {
    this.#keyOf = keyOf;
  }

  rows(value: string): Iterable<V> {
    const one = this.#one.get(value);
    return one === undefined ? (this.#many.get(value)?.values() ?? []) : [one];
  }

  add(value: string, key: string, row: V): void {
    const one = this.#one.get(value);
    const many = one === undefined ? this.#many.get(value) : undefined;
    if (many) many.set(key, row);
    else if (one === undefined || this.#keyOf(one) === key) this.#one.set(value, row);
    else {
      this.#one.delete(value);
      this.#many.set(value, new Map<string, V>([[this.#keyOf(one), one]]).set(key, row));
    }
  }

  delete(value: string, key: string): void {
    const one = this.#one.get(value);
    if (one !== undefined) {
      if (this.#keyOf(one) === key) this.#one.delete(value);
      return;
    }
    const many = this.#many.get(value);
    many?.delete(key);
    if (many?.size === 0) this.#many.delete(value);
  }
}
