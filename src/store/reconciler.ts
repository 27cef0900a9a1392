// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import { type BackoffOptions, backoffMs } from "#lib/backoff.ts";
import { type Clock, systemClock } from "#lib/clock.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { Retries } from "#store/retries.ts";
import type { Database, Table, Tracker, WritableTable } from "#store/table.ts";
import { Waiters } from "#store/waiters.ts";

/** Keys whose write failed, each with its error; nothing: all succeeded. */
export type Failures = ReadonlyMap<string, unknown> | undefined;

/** How entries reach the kernel. Every operation may be repeated; keys are those of the desired table. */
export interface ReconcilerOps<A> {
  /** What the kernel holds of ours: at start, and again at each refresh. Throws when it cannot tell. */
  list(): Iterable<readonly [key: string, actual: A]> | Promise<Iterable<readonly [key: string, actual: A]>>;
  /** Writes new and changed entries. A throw fails the whole batch. The order of writes inside an entry is the feature's own. */
  update(batch: ReadonlyMap<string, A>): Failures | Promise<Failures>;
  /** Takes entries away; the value is what was last written or listed. A missing one is a success. */
  delete(batch: ReadonlyMap<string, A>): Failures | Promise<Failures>;
}

/** A row of table `<name>.status`. */
export interface ReconcilerStatus {
  readonly key: string;
  readonly state: "pending" | "done" | "error";
  /** With state "error". */
  readonly error: string;
  /** Milliseconds since the epoch. */
  readonly updatedAtMs: number;
}

export interface ReconcilerOptions<V, A> {
  readonly name: string;
  /** Desired rows. */
  readonly table: Table<V>;
  /** Gets the table `<name>.status`. */
  readonly db: Database;
  /** Desired row → kernel entry, pure. */
  encode(row: V): A;
  readonly ops: ReconcilerOps<A>;
  /** True when nothing has to be written. Default: deep equality. */
  same?(actual: A, wanted: A): boolean;
  /**
   * While sources go on with snapshots: what the kernel holds under a key is at least as new as what was kept, and stays until the row changes again
   * or the sources have spoken.
   */
  readonly kernelIsNewer?: boolean;
  /** Entries stand in for one another, as prefixes do: what is new is written before what is old goes. Without it deletes go first, to make room. */
  readonly updatesFirst?: boolean;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Default 100 ms to 60 s, per key. */
  readonly backoff?: BackoffOptions;
  /** How often the kernel is listed again and drift repaired. Default 30 minutes; 0: never. */
  readonly refreshMs?: number;
  /** Entries per call of an operation; other work gets its turn between calls. Default 1000. */
  readonly batchSize?: number;
}

export interface Reconciler extends AsyncDisposable {
  readonly status: Table<ReconcilerStatus>;
  /** Resolves when everything the table held at that revision is in the kernel. Rejects when the signal or the reconciler stops. */
  waitUntil(revision: number, signal?: AbortSignal): Promise<void>;
  /**
   * Resolves when the kernel holds the row that the table has now (or has it no more).
   * @throws WeftError E_RECONCILE when the attempt fails (it goes on being tried), E_STOPPED, the signal's reason
   */
  settled(key: string, signal?: AbortSignal): Promise<void>;
}

/**
 * Makes the kernel equal to a desired table. At start it lists what is there and adopts it: equal entries are not
 * written. Entries that nobody wants are taken away only once the table is ready, and no source goes on with a snapshot. Deletes go before updates, to make
 * room, unless told otherwise. A failed key is tried again by itself with a growing wait; its newest row wins.
 */
export function startReconciler<V, A>(options: ReconcilerOptions<V, A>): Reconciler {
  return new TableReconciler(options);
}

class TableReconciler<V, A> implements Reconciler {
  readonly status: WritableTable<ReconcilerStatus>;
  readonly #options: ReconcilerOptions<V, A>;
  readonly #clock: Clock;
  readonly #tracker: Tracker<V>;
  /** Keys to look at in the next round. */
  #dirty = new Set<string>();
  /** What the kernel holds, as last listed or written. A key whose write failed is not trusted and not in here. */
  #actual = new Map<string, A>();
  readonly #retries: Retries<A>;
  readonly #waiters: Waiters;
  #listed = false;
  #listFailures = 0;
  /** Not listed again before this time. */
  #listDueMs = 0;
  #pruned = false;
  #doneRevision = -1;
  /** Keys under which the kernel's newer value was left. */
  readonly #left = new Set<string>();
  /** Ends the waiting for sources that go on with what was kept. */
  #stopWaiting: (() => void) | undefined;
  #scheduled: NodeJS.Immediate | undefined;
  #timer: (() => void) | undefined;
  #refreshTimer: (() => void) | undefined;
  #running: Promise<void> | undefined;
  /** Woken while running. */
  #again = false;
  #stopped = false;

  constructor(options: ReconcilerOptions<V, A>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#waiters = new Waiters(options.name);
    this.#retries = new Retries(this.#clock, options.backoff ?? defaultBackoff);
    this.status = options.db.table<ReconcilerStatus>({
      name: `${options.name}.status`,
      key: (row) => row.key,
      columns: [
        { name: "key", of: (row) => row.key },
        { name: "state", of: (row) => row.state },
        { name: "error", of: (row) => row.error },
      ],
    });
    options.health.set(options.name, "starting", "");
    options.signal.addEventListener("abort", this.#stop, { once: true });
    this.#tracker = options.table.track(this.#wake);
    void options.table.ready.then(this.#wake);
    this.#stopWaiting = options.db.snapshots?.onReleased(this.#wake);
    if (options.signal.aborted) this.#stop();
    else this.#wake();
  }

  waitUntil(revision: number, signal?: AbortSignal): Promise<void> {
    return this.#waiters.add(() => this.#doneRevision >= revision && !this.#retries.since(revision), signal);
  }

  settled(key: string, signal?: AbortSignal): Promise<void> {
    const revision = this.#options.table.revision;
    const before = this.#retries.get(key);
    const failuresBefore = before?.failures;
    return this.#waiters.add(() => {
      if (this.#doneRevision < revision) return false;
      const retry = this.#retries.get(key);
      if (!retry) return true;
      if (retry === before && retry.failures === failuresBefore) return false;
      throw new WeftError("E_RECONCILE", `${this.#options.name}: ${key}: ${retry.error}`);
    }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.signal.removeEventListener("abort", this.#stop);
    this.#stop();
    await this.#running;
  }

  readonly #wake = (): void => {
    if (this.#stopped) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    if (!this.#listed && this.#clock.now() < this.#listDueMs) return;
    this.#scheduled ??= setImmediate(this.#begin);
  };

  readonly #begin = (): void => {
    this.#scheduled = undefined;
    if (this.#stopped) return;
    this.#running = this.#rounds().finally(() => {
      this.#running = undefined;
      if (this.#again) this.#wake();
      this.#again = false;
    });
  };

  readonly #stop = (): void => {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#scheduled) clearImmediate(this.#scheduled);
    this.#timer?.();
    this.#refreshTimer?.();
    this.#stopWaiting?.();
    this.#tracker.close();
    this.#waiters.close();
    this.#options.health.set(this.#options.name, "stopped", "");
  };

  async #rounds(): Promise<void> {
    if (!this.#listed && !(await this.#list())) return;
    await this.#round();
    this.#setTimer();
  }

  /** Reads the kernel; false when that failed and will be tried again. */
  async #list(): Promise<boolean> {
    const {
      name,
      ops,
      health,
      log,
      table,
      backoff = defaultBackoff,
      refreshMs = 30 * 60_000,
    } = this.#options;
    try {
      this.#actual = new Map(await ops.list());
    } catch (thrown) {
      this.#listFailures++;
      health.set(name, "degraded", `cannot list: ${errorText(thrown)}`);
      log.error({ reconciler: name, err: errorText(thrown) }, "cannot list what the kernel holds");
      const waitMs = backoffMs(this.#listFailures, backoff);
      this.#listDueMs = this.#clock.now() + waitMs;
      this.#timer?.();
      this.#timer = this.#clock.after(waitMs, this.#wake);
      return false;
    }
    this.#listed = true;
    this.#listFailures = 0;
    this.#pruned = false;
    for (const row of table.all()) this.#dirty.add(table.keyOf(row));
    if (refreshMs > 0) {
      this.#refreshTimer?.();
      this.#refreshTimer = this.#clock.after(refreshMs, () => {
        this.#listed = false;
        this.#wake();
      });
    }
    return true;
  }

  async #round(): Promise<void> {
    const { table } = this.#options;
    const revision = table.revision;
    for (const key of this.#tracker.take().keys()) this.#dirty.add(key);
    for (const key of this.#retries.due()) this.#dirty.add(key);
    const held = this.#options.db.snapshots?.held === true;
    if (!held && this.#left.size > 0) {
      for (const key of this.#left) this.#dirty.add(key);
      this.#left.clear();
    }
    if (table.isReady && !this.#pruned && !held) {
      this.#pruned = true;
      for (const key of this.#actual.keys()) if (table.get(key) === undefined) this.#dirty.add(key);
    }
    const keys = this.#dirty;
    this.#dirty = new Set();
    const plan = this.#plan(keys, revision);
    this.#succeeded(plan.equal);
    if (this.#options.updatesFirst) await this.#apply("update", plan.updates, revision);
    await this.#apply("delete", plan.deletes, revision);
    if (!this.#options.updatesFirst) await this.#apply("update", plan.updates, revision);
    if (this.#stopped) return;
    this.#doneRevision = revision;
    this.#report();
    this.#waiters.check();
  }

  #plan(keys: Iterable<string>, revision: number) {
    const { table, encode, same = isDeepStrictEqual } = this.#options;
    const deletes = new Map<string, A>();
    const updates = new Map<string, A>();
    const equal: string[] = [];
    for (const key of keys) {
      const row = table.get(key);
      const actual = this.#actual.get(key);
      if (row === undefined) {
        const last = actual ?? this.#retries.get(key)?.last;
        if (last === undefined) equal.push(key);
        else deletes.set(key, last);
        continue;
      }
      try {
        const wanted = encode(row);
        if (actual !== undefined && (same(actual, wanted) || this.#leave(key))) equal.push(key);
        else updates.set(key, wanted);
      } catch (thrown) {
        this.#failed(key, thrown, actual, revision);
      }
    }
    return { deletes, updates, equal };
  }

  /** Whether another value of the kernel's stays for now; the first time only. */
  #leave(key: string): boolean {
    const { kernelIsNewer, db } = this.#options;
    if (!kernelIsNewer || !db.snapshots?.held || this.#left.has(key)) return false;
    this.#left.add(key);
    return true;
  }

  async #apply(kind: "update" | "delete", all: ReadonlyMap<string, A>, revision: number): Promise<void> {
    const { ops, batchSize = 1000 } = this.#options;
    const entries = [...all];
    for (let from = 0; from < entries.length && !this.#stopped; from += batchSize) {
      if (from > 0) await new Promise((resolve) => setImmediate(resolve));
      const batch = new Map(entries.slice(from, from + batchSize));
      let failures: Failures;
      try {
        const result = ops[kind](batch);
        if (result instanceof Promise) this.#show(batch.keys(), "pending");
        failures = await result;
      } catch (thrown) {
        failures = new Map([...batch.keys()].map((key) => [key, thrown]));
      }
      const done: string[] = [];
      for (const [key, value] of batch) {
        if (failures?.has(key)) {
          this.#actual.delete(key);
          this.#failed(key, failures.get(key), value, revision);
          continue;
        }
        if (kind === "update") this.#actual.set(key, value);
        else this.#actual.delete(key);
        done.push(key);
      }
      this.#succeeded(done);
    }
  }

  #failed(key: string, thrown: unknown, last: A | undefined, revision: number): void {
    const error = errorText(thrown);
    const failures = this.#retries.failed(key, { error, last, revision });
    this.#show([key], "error", error);
    if (failures === 1)
      this.#options.log.warn(
        { reconciler: this.#options.name, key, err: error },
        "entry failed, will be tried again",
      );
  }

  #succeeded(keys: readonly string[]): void {
    for (const key of keys) this.#retries.succeeded(key);
    this.#show(keys, "done");
  }

  #show(keys: Iterable<string>, state: ReconcilerStatus["state"], error = ""): void {
    const updatedAtMs = this.#clock.now();
    this.#options.db.write((tx) => {
      for (const key of keys) {
        if (state === "done" && this.#options.table.get(key) === undefined) tx.delete(this.status, key);
        else tx.put(this.status, { key, state, error, updatedAtMs });
      }
    });
  }

  #report(): void {
    const { name, health } = this.#options;
    const first = this.#retries.first();
    if (first)
      health.set(name, "degraded", `Degraded, ${this.#retries.size} error(s): ${first.key}: ${first.error}`);
    else health.set(name, "ok", `OK, ${this.#actual.size} object(s)`);
  }

  #setTimer(): void {
    this.#timer?.();
    this.#timer = undefined;
    const waitMs = this.#retries.nextMs();
    if (waitMs !== undefined && !this.#stopped) this.#timer = this.#clock.after(waitMs, this.#wake);
  }
}

const defaultBackoff: BackoffOptions = { minMs: 100, maxMs: 60_000 };
