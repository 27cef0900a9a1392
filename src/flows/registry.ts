// SPDX-License-Identifier: Apache-2.0

/** At most this many replaced values are kept for old records; a node without traffic would otherwise keep them for ever. */
const maxRetired = 65_536;

/**
 * Values that records refer to by a small number. A value that is replaced or removed keeps its number until every record
 * that could hold it has left the ring, so an old flow shows the names of its own time.
 */
export class Registry<T> {
  readonly #values: (T | undefined)[] = [undefined];
  readonly #free: number[] = [];
  readonly #retired: { readonly index: number; readonly sequence: number }[] = [];

  /** The number of a new value; never 0, which means "nothing". */
  add(value: T): number {
    const index = this.#free.pop() ?? this.#values.length;
    this.#values[index] = value;
    return index;
  }

  get(index: number): T | undefined {
    return this.#values[index];
  }

  /** Another value under a number in use. */
  replace(index: number, value: T): void {
    this.#values[index] = value;
  }

  /** No record from `sequence` on refers to the value any more. */
  retire(index: number, sequence: number): void {
    this.#retired.push({ index, sequence });
    if (this.#retired.length > maxRetired) this.#drop(1);
  }

  /** Frees what no record from `oldest` on can refer to. */
  reclaim(oldest: number): void {
    let count = 0;
    while (count < this.#retired.length && this.#retired[count]!.sequence <= oldest) count++;
    if (count > 0) this.#drop(count);
  }

  #drop(count: number): void {
    for (const { index } of this.#retired.splice(0, count)) {
      this.#values[index] = undefined;
      this.#free.push(index);
    }
  }
}
