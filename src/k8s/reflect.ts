// SPDX-License-Identifier: Apache-2.0

import type { KubeClient } from "#k8s/client.ts";
import { type InformerEvent, runInformer } from "#k8s/informer.ts";
import { type KubeObject, objectKey, type Resource, resourceName } from "#k8s/resource.ts";
import type { Clock } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Database, Transaction, WritableTable } from "#store/table.ts";

export interface ReflectOptions<T, V> {
  readonly client: KubeClient;
  readonly resource: Resource;
  readonly db: Database;
  readonly table: WritableTable<V>;
  /** The rows of an object; none: it does not concern this table. A throw refuses the object. */
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
 * first full list. Deletes only rows it wrote itself, so several may fill one table.
 */
export function reflect<T extends KubeObject, V>(options: ReflectOptions<T, V>): AsyncDisposable {
  const { resource, table, health, log, source = resourceName(resource) } = options;
  const registered = table.source(source);
  const healthName = `k8s/${source}`;
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const mirror = new Mirror(options);
  const report = () => health.set(healthName, ...mirror.health());
  health.set(healthName, "starting", "waiting for the first list");
  const running = runInformer<T>({
    client: options.client,
    resource,
    namespace: options.namespace,
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    signal,
    ...(options.clock && { clock: options.clock }),
    ...(options.idleMs !== undefined && { idleMs: options.idleMs }),
    ...(options.random && { random: options.random }),
    onList(objects) {
      mirror.replace(objects);
      registered.synced();
      report();
    },
    onEvents(events) {
      mirror.apply(events);
      report();
    },
    onState(problem, failures) {
      if (problem === undefined) return report();
      // One lost connection is daily business; what does not come back at once is worth a line.
      if (failures === 1)
        return log.debug({ resource: source, err: errorText(problem) }, "watch lost, resuming");
      health.set(healthName, "degraded", errorText(problem));
      log.warn({ resource: source, err: errorText(problem), failures }, "cannot follow, will try again");
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
      await finished;
    },
  };
}

/** Which rows stand for which object. */
class Mirror<T extends KubeObject, V> {
  readonly #options: ReflectOptions<T, V>;
  readonly #rows = new Map<string, readonly string[]>();
  readonly #refused = new Map<string, string>();

  constructor(options: ReflectOptions<T, V>) {
    this.#options = options;
  }

  replace(objects: readonly T[]): void {
    const gone = new Set([...this.#rows.keys(), ...this.#refused.keys()]);
    this.#options.db.write((tx) => {
      for (const object of objects) {
        gone.delete(objectKey(object));
        this.#put(tx, object);
      }
      for (const key of gone) this.#remove(tx, key);
    });
  }

  apply(events: readonly InformerEvent<T>[]): void {
    this.#options.db.write((tx) => {
      for (const { kind, object } of events) {
        if (kind === "put") this.#put(tx, object);
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

  #put(tx: Transaction, object: T): void {
    const { table, toRow, log, onRefused } = this.#options;
    const key = objectKey(object);
    let rows: readonly V[];
    let keys: string[];
    try {
      const made = toRow(object);
      rows = made === undefined ? [] : Array.isArray(made) ? (made as readonly V[]) : [made as V];
      keys = rows.map((row) => table.keyOf(row));
    } catch (thrown) {
      this.#refused.set(key, errorText(thrown));
      log.warn({ table: table.name, object: key, err: errorText(thrown) }, "object refused");
      onRefused?.(key, thrown);
      return;
    }
    if (this.#refused.delete(key)) onRefused?.(key, undefined);
    for (const old of this.#rows.get(key) ?? []) if (!keys.includes(old)) tx.delete(table, old);
    for (const row of rows) tx.put(table, row);
    this.#rows.set(key, keys);
  }

  #remove(tx: Transaction, key: string): void {
    for (const row of this.#rows.get(key) ?? []) tx.delete(this.#options.table, row);
    this.#rows.delete(key);
    if (this.#refused.delete(key)) this.#options.onRefused?.(key, undefined);
  }
}
