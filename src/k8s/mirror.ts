// SPDX-License-Identifier: Apache-2.0
import type { InformerEvent } from "#k8s/informer.ts";
import { type KubeObject, objectKey } from "#k8s/resource.ts";
import { errorText } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { SnapshotObjects } from "#store/snapshot.ts";
import type { Database, Transaction, WritableTable } from "#store/table.ts";

export interface MirrorOptions<T, V> {
  readonly db: Database;
  readonly table: WritableTable<V>;
  /** The rows of an object, by what it says and the table's rows of it; none: it does not concern this table. A throw refuses the object. */
  toRow(object: T): V | readonly V[] | undefined;
  readonly log: Logger;
  /** An object that `toRow` refused (its rows stay as they were), or takes again (undefined), or that is gone. */
  onRefused?(key: string, problem: unknown): void;
}

/** An object's rows and their keys, or why it has none. */
export type Reading<V> =
  | { readonly object: string; readonly rows: readonly V[]; readonly keys: readonly string[] }
  | { readonly object: string; readonly problem: unknown };

/** Which rows stand for which object. */
export class Mirror<T extends KubeObject, V> {
  readonly #options: MirrorOptions<T, V>;
  readonly #rows = new Map<string, readonly string[]>();
  readonly #refused = new Map<string, string>();

  constructor(options: MirrorOptions<T, V>) {
    this.#options = options;
  }

  get size(): number {
    return this.#rows.size + this.#refused.size;
  }

  read(object: T): Reading<V> {
    const { table, toRow } = this.#options;
    const key = objectKey(object);
    try {
      const made = toRow(object);
      const rows = made === undefined ? [] : Array.isArray(made) ? (made as readonly V[]) : [made as V];
      return { object: key, rows, keys: rows.map((row) => table.keyOf(row)) };
    } catch (problem) {
      return { object: key, problem };
    }
  }

  /** Keys of what is known and not in a full list. */
  missing(list: readonly Reading<V>[]): string[] {
    const gone = new Set([...this.#rows.keys(), ...this.#refused.keys()]);
    if (gone.size > 0) for (const { object } of list) gone.delete(object);
    return [...gone];
  }

  /** Takes a full list, and takes away those of the objects it lacks that are gone for sure. */
  replace(list: readonly Reading<V>[], gone: readonly string[]): void {
    this.#options.db.write((tx) => {
      for (const reading of list) this.#put(tx, reading);
      for (const key of gone) this.#remove(tx, key);
    });
  }

  remove(keys: readonly string[]): void {
    this.replace([], keys);
  }

  /** Objects with their rows, as {@link restore} takes them up again. */
  *dump(): Generator<SnapshotObjects[number]> {
    const { table } = this.#options;
    for (const [key, rows] of this.#rows)
      yield [key, rows.map((row) => table.get(row)).filter((row) => row !== undefined)];
  }

  restore(objects: SnapshotObjects): void {
    const { db, table } = this.#options;
    db.write((tx) => {
      for (const [key, rows] of objects) {
        for (const row of rows) tx.put(table, row as V);
        this.#rows.set(
          key,
          (rows as V[]).map((row) => table.keyOf(row)),
        );
      }
    });
  }

  apply(events: readonly InformerEvent<T>[]): void {
    this.#options.db.write((tx) => {
      for (const { kind, object } of events) {
        if (kind === "put") this.#put(tx, this.read(object));
        else this.#remove(tx, objectKey(object));
      }
    });
  }

  health(): ["ok" | "degraded", string] {
    for (const [key, problem] of this.#refused) {
      return ["degraded", `Degraded, ${this.#refused.size} object(s) refused: ${key}: ${problem}`];
    }
    return ["ok", `OK, ${this.#rows.size} object(s)`];
  }

  #put(tx: Transaction, reading: Reading<V>): void {
    const { table, log, onRefused } = this.#options;
    const { object } = reading;
    if ("problem" in reading) {
      const err = errorText(reading.problem);
      this.#refused.set(object, err);
      log.warn({ table: table.name, object, err }, "object refused");
      onRefused?.(object, reading.problem);
      return;
    }
    const { rows, keys } = reading;
    if (this.#refused.delete(object)) onRefused?.(object, undefined);
    for (const old of this.#rows.get(object) ?? []) if (!keys.includes(old)) tx.delete(table, old);
    for (const row of rows) tx.put(table, row);
    this.#rows.set(object, keys);
  }

  #remove(tx: Transaction, key: string): void {
    for (const row of this.#rows.get(key) ?? []) tx.delete(this.#options.table, row);
    this.#rows.delete(key);
    if (this.#refused.delete(key)) this.#options.onRefused?.(key, undefined);
  }
}
