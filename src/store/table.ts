// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { RowIndex } from "#store/row-index.ts";
import type { Snapshots } from "#store/snapshot.ts";

/** How a row is shown: `db show`, `-o json`, the UI and the stories all use this one list. */
export interface Column<V> {
  readonly name: string;
  of(row: V): string | number | boolean | undefined;
  /** Only with `-o wide`. */
  readonly wide?: boolean;
}

export interface TableOptions<V> {
  readonly name: string;
  /** Primary key: canonical text. */
  key(row: V): string;
  /** Secondary indexes: the values under which a row can be found. */
  readonly indexes?: Readonly<Record<string, (row: V) => Iterable<string>>>;
  readonly columns: readonly Column<V>[];
  /** Rows that are equal by this are not a change. Default: identity of the object. */
  equal?(a: V, b: V): boolean;
}

export type Change<V> =
  | { readonly kind: "put"; readonly row: V }
  | { readonly kind: "delete"; readonly row: V };

/** Net changes by key since the reader's last batch. */
export type Changes<V> = ReadonlyMap<string, Change<V>>;

/** One reader's place in a table; the first `take()` is the whole table. */
export interface Tracker<V> {
  take(): Changes<V>;
  /** True when `take()` may have something to return. */
  readonly dirty: boolean;
  close(): void;
}

/** What readers see. Rows are never changed in place: a new row replaces the old one. */
export interface Table<V> {
  readonly name: string;
  readonly columns: readonly Column<V>[];
  get(key: string): V | undefined;
  keyOf(row: V): string;
  /** @throws WeftError E_TABLE for an index the table does not have. */
  by(index: string, value: string): Iterable<V>;
  all(): IterableIterator<V>;
  readonly size: number;
  /** Counts commits that changed the table. */
  readonly revision: number;
  /**
   * The first batch is the whole table (possibly empty), each further one the net changes since; a slow reader sees
   * each key at most once per batch. Ends (returns) when the signal aborts.
   */
  changes(signal: AbortSignal): AsyncIterableIterator<Changes<V>>;
  /** The same by hand: `wake` is called after each commit, `take()` returns the net changes since it was last called. */
  track(wake?: () => void): Tracker<V>;
  /** Calls back after each commit that changed this table, before anything else runs. For controllers that only mark work. */
  onCommit(listener: (changed: ReadonlySet<string>) => void): () => void;
  /** Resolves once every registered source has delivered its first full list. */
  readonly ready: Promise<void>;
  readonly isReady: boolean;
}

export interface WritableTable<V> extends Table<V> {
  /** Registers a source whose first full list `ready` waits for; call `synced()` when it is in the table. */
  source(name: string): { synced(): void };
}

export interface Transaction {
  put<V>(table: WritableTable<V>, row: V): void;
  delete<V>(table: WritableTable<V>, key: string): void;
}

interface Subscriber {
  dirty: Set<string>;
  wake(): void;
}

class MemoryTable<V> implements WritableTable<V> {
  readonly name: string;
  readonly columns: readonly Column<V>[];
  readonly ready: Promise<void>;
  revision = 0;
  readonly #rows = new Map<string, V>();
  readonly #options: TableOptions<V>;
  readonly #indexes = new Map<string, RowIndex<V>>();
  readonly #subscribers = new Set<Subscriber>();
  readonly #listeners = new Set<(changed: ReadonlySet<string>) => void>();
  readonly #pending = new Set<string>();
  #resolveReady: () => void = () => {};
  #isReady = false;

  constructor(options: TableOptions<V>) {
    this.name = options.name;
    this.columns = options.columns;
    this.#options = options;
    for (const index of Object.keys(options.indexes ?? {}))
      this.#indexes.set(index, new RowIndex(options.key));
    this.ready = new Promise((resolve) => {
      this.#resolveReady = resolve;
    });
  }

  get size(): number {
    return this.#rows.size;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  get(key: string): V | undefined {
    return this.#rows.get(key);
  }

  all(): IterableIterator<V> {
    return this.#rows.values();
  }

  by(index: string, value: string): Iterable<V> {
    const found = this.#indexes.get(index);
    if (!found) throw new WeftError("E_TABLE", `table ${this.name} has no index "${index}"`);
    return found.rows(value);
  }

  source(name: string): { synced(): void } {
    if (this.#isReady)
      throw new WeftError("E_TABLE", `table ${this.name} is ready already: source "${name}" came too late`);
    this.#pending.add(name);
    return {
      synced: () => {
        this.#pending.delete(name);
        if (this.#pending.size === 0 && !this.#isReady) {
          this.#isReady = true;
          this.#resolveReady();
        }
      },
    };
  }

  onCommit(listener: (changed: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async *changes(signal: AbortSignal): AsyncIterableIterator<Changes<V>> {
    let wake = () => {};
    const stop = () => wake();
    const tracker = this.track(stop);
    signal.addEventListener("abort", stop);
    try {
      for (let first = true; !signal.aborted; first = false) {
        const batch = tracker.take();
        if (first || batch.size > 0) yield batch;
        if (signal.aborted) return;
        if (!tracker.dirty) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      signal.removeEventListener("abort", stop);
      tracker.close();
    }
  }

  track(wake: () => void = () => {}): Tracker<V> {
    const subscriber: Subscriber = { dirty: new Set(this.#rows.keys()), wake };
    const seen = new Map<string, V>();
    this.#subscribers.add(subscriber);
    return {
      take: () => this.#drain(subscriber, seen),
      get dirty() {
        return subscriber.dirty.size > 0;
      },
      close: () => {
        this.#subscribers.delete(subscriber);
      },
    };
  }

  /** A key put and deleted between two batches is not in either; a deleted one carries the row the reader last saw. */
  #drain(subscriber: Subscriber, seen: Map<string, V>): Changes<V> {
    const batch = new Map<string, Change<V>>();
    for (const key of subscriber.dirty) {
      const row = this.#rows.get(key);
      const before = seen.get(key);
      if (row !== undefined) {
        if (row !== before) batch.set(key, { kind: "put", row });
        seen.set(key, row);
      } else if (before !== undefined) {
        batch.set(key, { kind: "delete", row: before });
        seen.delete(key);
      }
    }
    subscriber.dirty.clear();
    return batch;
  }

  /** Used by {@link Database} only: returns what undoes the write, or undefined when nothing changed. */
  write(key: string, row: V | undefined): (() => void) | undefined {
    const before = this.#rows.get(key);
    if (row === before || (row && before && this.#options.equal?.(before, row))) return undefined;
    this.#set(key, before, row);
    return () => this.#set(key, row, before);
  }

  keyOf(row: V): string {
    return this.#options.key(row);
  }

  /** Used by {@link Database} only. */
  committed(keys: ReadonlySet<string>): void {
    this.revision++;
    for (const subscriber of this.#subscribers) {
      // A copy of a whole set is one of memory: a list of thousands that comes at once has many readers.
      if (subscriber.dirty.size === 0) subscriber.dirty = new Set(keys);
      else for (const key of keys) subscriber.dirty.add(key);
      guard(() => subscriber.wake());
    }
    for (const listener of this.#listeners) guard(() => listener(keys));
  }

  #set(key: string, before: V | undefined, row: V | undefined): void {
    for (const [name, index] of this.#indexes) {
      const values = this.#options.indexes![name]!;
      if (before !== undefined) for (const value of values(before)) index.delete(value, key);
      if (row !== undefined) for (const value of values(row)) index.add(value, key, row);
    }
    if (row === undefined) this.#rows.delete(key);
    else this.#rows.set(key, row);
  }
}

/** The write has taken effect whatever a reader does: its error is a fault of the program, not of the writer. */
function guard(call: () => void): void {
  try {
    call();
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown;
    });
  }
}

/** The agent's tables. Any of them can be looked at while it runs (`weft db show NAME`). */
export class Database {
  /** What sources keep for a start at which nobody can be asked. */
  readonly snapshots: Snapshots | undefined;
  readonly #tables = new Map<string, MemoryTable<unknown>>();

  constructor(options: { readonly snapshots?: Snapshots } = {}) {
    this.snapshots = options.snapshots;
  }

  /** @throws WeftError E_TABLE when the name is taken. */
  table<V>(options: TableOptions<V>): WritableTable<V> {
    if (this.#tables.has(options.name))
      throw new WeftError("E_TABLE", `there is a table ${options.name} already`);
    const table = new MemoryTable(options);
    this.#tables.set(options.name, table as unknown as MemoryTable<unknown>);
    return table;
  }

  tables(): Table<unknown>[] {
    return [...this.#tables.values()];
  }

  find(name: string): Table<unknown> | undefined {
    return this.#tables.get(name);
  }

  /**
   * Runs a synchronous write over any number of tables: all of it takes effect, or, when the callback throws, none.
   * Readers wake after the callback; a promise-returning callback does not type-check.
   */
  write<R>(work: (tx: Transaction) => R extends PromiseLike<unknown> ? never : R): R {
    const undo: (() => void)[] = [];
    const changed = new Map<MemoryTable<unknown>, Set<string>>();
    const apply = (table: MemoryTable<unknown>, key: string, row: unknown) => {
      const back = table.write(key, row);
      if (!back) return;
      undo.push(back);
      let keys = changed.get(table);
      if (!keys) {
        keys = new Set();
        changed.set(table, keys);
      }
      keys.add(key);
    };
    const tx: Transaction = {
      put: (table, row) => {
        const inner = table as unknown as MemoryTable<unknown>;
        apply(inner, inner.keyOf(row), row);
      },
      delete: (table, key) => apply(table as unknown as MemoryTable<unknown>, key, undefined),
    };
    let result: R;
    try {
      result = work(tx);
    } catch (thrown) {
      for (const back of undo.reverse()) back();
      throw thrown;
    }
    for (const [table, keys] of changed) table.committed(keys);
    return result;
  }
}
