// SPDX-License-Identifier: Apache-2.0
import { expired } from "./errors.ts";
import type { KubeObject } from "./object.ts";

export type EventType = "ADDED" | "MODIFIED" | "DELETED";

/** One change of one object. `previous` is the object before it: a watcher with a selector needs both. */
export interface StoreEvent {
  readonly type: EventType;
  readonly key: string;
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
  readonly revision: number;
}

export type Listener = (event: StoreEvent) => void;

/** Events kept per kind: a watch that starts before the oldest gets 410 and lists again. */
const historyLimit = 1024;

interface Collection {
  readonly objects: Map<string, KubeObject>;
  /** Keys in order, made when first asked for after an object came or went. */
  sortedKeys: readonly string[] | undefined;
  history: StoreEvent[];
  /** Revision of the newest event no longer in the history. */
  forgotten: number;
  readonly listeners: Set<Listener>;
}

/** `namespace/name`, or `/name` for a cluster-scoped object. Sorts by namespace, then name. */
export function objectKey(namespace: string | undefined, name: string): string {
  return `${namespace ?? ""}/${name}`;
}

/**
 * The objects of all kinds with one revision counter over all of them, as etcd has it. Writes are synchronous:
 * a reader never sees half of one. Kinds are named by `group/plural`.
 */
export class Store {
  #revision = 1;
  readonly #collections = new Map<string, Collection>();
  readonly #everyListener = new Set<(kind: string, event: StoreEvent) => void>();

  readonly #undelivered: { readonly kind: string; readonly event: StoreEvent }[] = [];
  #delivering = false;

  /** Revision of the last write. */
  get revision(): number {
    return this.#revision;
  }

  get(kind: string, key: string): KubeObject | undefined {
    return this.#collections.get(kind)?.objects.get(key);
  }

  count(kind: string): number {
    return this.#collections.get(kind)?.objects.size ?? 0;
  }

  /** The objects of a kind in key order; only those of one namespace when it is given. */
  list(kind: string, namespace?: string): KubeObject[] {
    const collection = this.#collections.get(kind);
    if (!collection) return [];
    collection.sortedKeys ??= [...collection.objects.keys()].sort();
    const keys = collection.sortedKeys;
    if (!namespace) return keys.map((key) => collection.objects.get(key)!);
    const out: KubeObject[] = [];
    const prefix = `${namespace}/`;
    for (let i = firstAtLeast(keys, prefix); i < keys.length && keys[i]!.startsWith(prefix); i++) {
      out.push(collection.objects.get(keys[i]!)!);
    }
    return out;
  }

  /** The objects of a kind as they were at an earlier revision. @throws ApiError 410 when what came after it is forgotten. */
  listAt(kind: string, revision: number, namespace?: string): KubeObject[] {
    const objects = new Map(this.#collections.get(kind)?.objects);
    for (const { key, previous } of this.eventsSince(kind, revision).toReversed()) {
      if (previous) objects.set(key, previous);
      else objects.delete(key);
    }
    const keys = [...objects.keys()].filter((key) => !namespace || key.startsWith(`${namespace}/`));
    return keys.sort().map((key) => objects.get(key)!);
  }

  /** Stores an object under a new revision, which is put into its metadata. Returns what is stored. */
  put(kind: string, key: string, object: KubeObject): KubeObject {
    const collection = this.#collection(kind);
    const previous = collection.objects.get(key);
    const stored = this.#stamp(object);
    if (!previous) collection.sortedKeys = undefined;
    collection.objects.set(key, stored);
    this.#emit(kind, {
      type: previous ? "MODIFIED" : "ADDED",
      key,
      object: stored,
      previous,
      revision: this.#revision,
    });
    return stored;
  }

  /** Removes an object; the event carries its last state under the revision of the removal. */
  remove(kind: string, key: string): KubeObject | undefined {
    const collection = this.#collections.get(kind);
    const previous = collection?.objects.get(key);
    if (!collection || !previous) return undefined;
    collection.objects.delete(key);
    collection.sortedKeys = undefined;
    const last = this.#stamp(previous);
    this.#emit(kind, { type: "DELETED", key, object: last, previous, revision: this.#revision });
    return last;
  }

  /** Every event of a kind after `revision`, at once. @throws ApiError 410 when some of them are forgotten. */
  eventsSince(kind: string, revision: number): readonly StoreEvent[] {
    const collection = this.#collections.get(kind);
    if (!collection) return [];
    if (revision < collection.forgotten) {
      throw expired(`too old resource version: ${revision} (${collection.forgotten + 1})`);
    }
    return collection.history.filter((event) => event.revision > revision);
  }

  /** Calls `listener` for each later event of a kind, in order, before the write returns. Returns the way to stop. */
  listen(kind: string, listener: Listener): () => void {
    const { listeners } = this.#collection(kind);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Like {@link listen}, for every kind. */
  listenAll(listener: (kind: string, event: StoreEvent) => void): () => void {
    this.#everyListener.add(listener);
    return () => this.#everyListener.delete(listener);
  }

  #stamp(object: KubeObject): KubeObject {
    this.#revision++;
    return { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#revision) } };
  }

  #collection(kind: string): Collection {
    let collection = this.#collections.get(kind);
    if (!collection) {
      collection = {
        objects: new Map(),
        sortedKeys: undefined,
        history: [],
        forgotten: 0,
        listeners: new Set(),
      };
      this.#collections.set(kind, collection);
    }
    return collection;
  }

  #emit(kind: string, event: StoreEvent): void {
    const collection = this.#collection(kind);
    collection.history.push(event);
    // Cut in halves: shifting one by one would cost the length of the history for every write.
    if (collection.history.length >= 2 * historyLimit) {
      collection.forgotten = collection.history[historyLimit - 1]!.revision;
      collection.history = collection.history.slice(historyLimit);
    }
    this.#undelivered.push({ kind, event });
    if (!this.#delivering) this.#deliver();
  }

  /** A listener may write: what it causes is delivered after the event it hears, to everybody in the same order. */
  #deliver(): void {
    this.#delivering = true;
    try {
      for (let next = this.#undelivered.shift(); next; next = this.#undelivered.shift()) {
        const { kind, event } = next;
        for (const listener of this.#collections.get(kind)?.listeners ?? []) listener(event);
        for (const listener of this.#everyListener) listener(kind, event);
      }
    } finally {
      this.#delivering = false;
    }
  }
}

function firstAtLeast(keys: readonly string[], wanted: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
