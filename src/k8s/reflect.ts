// SPDX-License-Identifier: Apache-2.0

import type { KubeClient } from "#k8s/client.ts";
import { KubeError } from "#k8s/errors.ts";
import { type InformerEvent, runInformer } from "#k8s/informer.ts";
import { outageOf } from "#k8s/outage.ts";
import { type KubeObject, objectKey, type Resource, resourceName } from "#k8s/resource.ts";
import { ShortListGuard } from "#k8s/short-list.ts";
import { type Clock, systemClock } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { SnapshotObjects } from "#store/snapshot.ts";
import type { Database, Transaction, WritableTable } from "#store/table.ts";

export interface ReflectOptions<T, V> {
  readonly client: KubeClient;
  readonly resource: Resource;
  readonly db: Database;
  readonly table: WritableTable<V>;
  /** The rows of an object, by what it says and the table's rows of it; none: it does not concern this table. A throw refuses the object. */
  toRow(object: T): V | readonly V[] | undefined;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Name as a source of the table and in health (`k8s/<source>`). Default: the resource's name. */
  readonly source?: string;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
  readonly clock?: Clock;
  /** An object that `toRow` refused (its rows stay as they were), or takes again (undefined), or that is gone. */
  onRefused?(key: string, problem: unknown): void;
  /** An informer's knobs, for tests. */
  readonly idleMs?: number;
  readonly random?: () => number;
}

/**
 * Keeps a table equal to a collection of the API server: what is created, changed and deleted there, and after a gap
 * what vanished meanwhile. Errors and half answers delete nothing. Registers its source at once; it is synced with the
 * first full list. Deletes only rows it wrote itself, so several may fill one table. When the database keeps snapshots and
 * no list comes, it starts from what was kept; a list that lacks most of what is known is believed only when confirmed.
 */
export function reflect<T extends KubeObject, V>(options: ReflectOptions<T, V>): AsyncDisposable {
  const { resource, table, health, log, source = resourceName(resource) } = options;
  const registered = table.source(source);
  const healthName = `k8s/${source}`;
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const mirror = new Mirror(options);
  const outage = outageOf(options.client);
  const { snapshots } = options.db;
  let held = 0;
  const report = () => {
    if (held > 0)
      health.set(healthName, "degraded", `${held} object(s) missing in a list, kept until confirmed`);
    else health.set(healthName, ...mirror.health());
    snapshots?.changed(source, () => mirror.dump());
  };
  const guard = new ShortListGuard({
    clock: options.clock ?? systemClock,
    list: () => keysOf(options, signal),
    remove: (keys) => mirror.remove(keys),
    onState(missing, why) {
      held = missing;
      const fields = { resource: source, missing };
      if (why === "held")
        log.warn(fields, "a list lacks most of what is known: nothing is removed until it is confirmed");
      else
        log.info(
          { resource: source },
          why === "back" ? "what a list lacked is there again" : "a short list is confirmed",
        );
      report();
    },
  });
  const fromSnapshot = () => {
    const kept = snapshots?.load(source);
    if (kept === undefined) return;
    mirror.restore(kept);
    snapshots?.hold(source);
    registered.synced();
    health.set(
      healthName,
      "degraded",
      `${kept.length} object(s) as they were kept: the API server does not answer`,
    );
  };
  const stopWaiting = snapshots && (options.clock ?? systemClock).after(snapshots.afterMs, fromSnapshot);
  health.set(healthName, "starting", "waiting for the first list");
  const running = runInformer<T, Reading<V>>({
    client: options.client,
    resource,
    namespace: options.namespace,
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    signal,
    ...(options.clock && { clock: options.clock }),
    ...(options.idleMs !== undefined && { idleMs: options.idleMs }),
    ...(options.random && { random: options.random }),
    read: (object) => mirror.read(object),
    onList(objects) {
      stopWaiting?.();
      mirror.replace(objects, guard.check(mirror.missing(objects), mirror.size));
      registered.synced();
      snapshots?.release(source);
      report();
    },
    onEvents(events) {
      for (const { object } of events) guard.seen(objectKey(object));
      mirror.apply(events);
      report();
    },
    onState(problem, failures) {
      if (problem === undefined) {
        outage.end(source, log);
        return report();
      }
      const error = errorText(problem);
      // One lost connection is daily business; what does not come back at once is worth a line.
      if (failures > 1) health.set(healthName, "degraded", error);
      const away = problem instanceof KubeError && problem.status === 0;
      if (failures > 1 && away) outage.begin(source, error, log);
      // The 2nd, 4th, 8th… time: what lasts is said, and not every few seconds.
      else if (failures > 1 && (failures & (failures - 1)) === 0)
        log.warn({ resource: source, err: error, failures }, "cannot follow, will try again");
      else log.debug({ resource: source, err: error, failures }, "watch lost, resuming");
    },
  });
  const finished = running.then(
    () => health.set(healthName, "stopped", ""),
    (thrown: unknown) => {
      health.set(healthName, "degraded", errorText(thrown));
      log.error({ resource: source, err: thrown }, "following a resource ended by a fault of the program");
    },
  );
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      stopWaiting?.();
      guard.stop();
      await finished;
    },
  };
}

/** A consistent list, read from the store and not from a cache: no resource version is asked for. */
async function keysOf<T extends KubeObject, V>(
  { client, resource, namespace, labelSelector, fieldSelector }: ReflectOptions<T, V>,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const keys = new Set<string>();
  let continueToken: string | undefined;
  do {
    const page = await client.list<T>(resource, {
      namespace,
      labelSelector,
      fieldSelector,
      limit: 500,
      continueToken,
      signal,
    });
    for (const object of page.items) keys.add(objectKey(object));
    continueToken = page.continueToken;
  } while (continueToken);
  return keys;
}

/** An object's rows and their keys, or why it has none. */
type Reading<V> =
  | { readonly object: string; readonly rows: readonly V[]; readonly keys: readonly string[] }
  | { readonly object: string; readonly problem: unknown };

/** Which rows stand for which object. */
class Mirror<T extends KubeObject, V> {
  readonly #options: ReflectOptions<T, V>;
  readonly #rows = new Map<string, readonly string[]>();
  readonly #refused = new Map<string, string>();

  constructor(options: ReflectOptions<T, V>) {
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
