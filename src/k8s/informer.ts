// SPDX-License-Identifier: Apache-2.0

import type { KubeClient } from "#k8s/client.ts";
import { isExpired, KubeError } from "#k8s/errors.ts";
import { type KubeObject, objectKey, type Resource, resourceName, resourcePath } from "#k8s/resource.ts";
import { readWatch, type WatchEvent } from "#k8s/watch.ts";
import { backoffMs } from "#lib/backoff.ts";
import { type Clock, pause, systemClock } from "#lib/clock.ts";

export type InformerEvent<T> = { readonly kind: "put" | "delete"; readonly object: T };

/** `T`: an object as it comes. `R`: what is kept of each of a list's. */
export interface InformerOptions<T, R = T> {
  readonly client: KubeClient;
  readonly resource: Resource;
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** A watch that says nothing for so long (the server sends bookmarks) is given up. Default 120 s. */
  readonly idleMs?: number;
  readonly random?: () => number;
  /**
   * What to keep of an object until the list it belongs to is complete; called as they come, so that a large list is never in memory as it was
   * written. Default: all of it.
   */
  read?(object: T): R;
  /** The whole collection at one point in time: what is not in it does not exist. First call of all, and after a gap. */
  onList(objects: readonly R[]): void;
  /** What happened since, in order; the events that arrived together. */
  onEvents(events: readonly InformerEvent<T>[]): void;
  /** A watch is up (undefined), or failed and will be tried again. */
  onState?(problem: unknown, failures: number): void;
}

/** From where to go on; undefined: the collection has to be read anew. */
interface Position {
  resourceVersion: string | undefined;
  /** False once the server has shown that it knows no WatchList. */
  watchList: boolean;
  failures: number;
}

const pageSize = 500;
const watchSec = 300;
/** An ordered end sooner than this, without an event, counts as a failure: else two broken ends would spin. */
const shortWatchMs = 1000;
/** What fails after this long had worked. */
const longWatchMs = 10_000;

/**
 * Follows a collection until the signal aborts: its state by WatchList (KEP-3157) or, where the server has none, by a
 * paged list; then a watch with bookmarks. Every failure is survived: with backoff from the last known version, and
 * with a new list when that is too old (410). `managedFields` are dropped.
 */
export async function runInformer<T extends KubeObject, R = T>(
  options: InformerOptions<T, R>,
): Promise<void> {
  const { signal, clock = systemClock, random = Math.random } = options;
  const at: Position = { resourceVersion: undefined, watchList: true, failures: 0 };
  while (!signal.aborted) {
    const startMs = clock.now();
    const before = at.resourceVersion;
    try {
      if (at.resourceVersion === undefined && !at.watchList) await list(options, at);
      await watch(options, at);
      if (signal.aborted) return;
      if (at.resourceVersion !== before || clock.now() - startMs >= shortWatchMs) {
        at.failures = 0;
        continue;
      }
      throw new KubeError(`watch ${resourceName(options.resource)}: ended at once`, {
        status: 0,
        reason: "Unreachable",
      });
    } catch (thrown) {
      if (signal.aborted) return;
      const progress = before !== undefined && at.resourceVersion !== before;
      at.failures = progress || clock.now() - startMs >= longWatchMs ? 1 : at.failures + 1;
      if (isExpired(thrown)) {
        // An answer after all, as after an outage: what is missing is a list.
        if (before !== undefined) at.failures = 1;
        at.resourceVersion = undefined;
      }
      options.onState?.(thrown, at.failures);
      const asked = thrown instanceof KubeError ? (thrown.retryAfterMs ?? 0) : 0;
      const maxMs = thrown instanceof KubeError ? (maxWaitMs[thrown.status] ?? 30_000) : 30_000;
      const waitMs = backoffMs(at.failures, { minMs: 100, maxMs, random });
      await pause(Math.max(waitMs, Math.min(asked, 30_000)), signal, clock);
    }
  }
}

/** By status: a kind that is not installed may be at any moment, a server that is away (0) may be back. */
const maxWaitMs: Readonly<Record<number, number>> = { 0: 10_000, 404: 3_000 };

/** All pages, or nothing: half a list would look like a mass deletion. */
async function list<T extends KubeObject, R>(options: InformerOptions<T, R>, at: Position): Promise<void> {
  const { client, resource, namespace, labelSelector, fieldSelector, signal } = options;
  const objects: R[] = [];
  let continueToken: string | undefined;
  do {
    const page = await client.list<T>(resource, {
      namespace,
      labelSelector,
      fieldSelector,
      limit: pageSize,
      continueToken,
      signal,
    });
    for (const object of page.items) objects.push(kept(options, object));
    continueToken = page.continueToken;
    if (!continueToken) at.resourceVersion = page.resourceVersion;
  } while (continueToken);
  options.onList(objects);
}

async function watch<T extends KubeObject, R>(options: InformerOptions<T, R>, at: Position): Promise<void> {
  const { client, resource, signal, clock = systemClock, idleMs = 120_000, random = Math.random } = options;
  const initial = at.resourceVersion === undefined;
  const what = `watch ${resourceName(resource)}`;
  const request = {
    method: "GET" as const,
    path: resourcePath(resource, { namespace: options.namespace }),
    query: {
      watch: 1,
      allowWatchBookmarks: true,
      timeoutSeconds: Math.round(watchSec * (1 + random() / 5)),
      labelSelector: options.labelSelector,
      fieldSelector: options.fieldSelector,
      ...(initial
        ? { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan" }
        : { resourceVersion: at.resourceVersion }),
    },
    signal,
  };
  let collecting: Map<string, R> | undefined = initial ? new Map() : undefined;
  let opened = false;
  try {
    const stream = await client.stream(request);
    opened = true;
    if (!initial) options.onState?.(undefined, 0);
    for await (const events of readWatch<T>(stream, {
      what,
      idleMs: initial ? Math.min(idleMs, 10_000) : idleMs,
      clock,
    })) {
      collecting = deliver(options, at, events, collecting);
    }
    if (collecting)
      throw new KubeError(`${what}: ended before the initial events did`, {
        status: 0,
        reason: "Unreachable",
      });
  } catch (thrown) {
    // A server without WatchList refuses it (400, 422; in the stream when its etcd is too old), or ignores it and then never says where
    // the initial events end.
    const status = thrown instanceof KubeError ? thrown.status : 0;
    const refused = opened ? status > 0 || at.failures > 0 : status === 400 || status === 422;
    if (collecting && refused) at.watchList = false;
    throw thrown;
  }
}

/** @returns the initial events so far, or undefined once they are complete */
function deliver<T extends KubeObject, R>(
  options: InformerOptions<T, R>,
  at: Position,
  events: readonly WatchEvent<T>[],
  collecting: Map<string, R> | undefined,
): Map<string, R> | undefined {
  const out: InformerEvent<T>[] = [];
  for (const { type, object } of events) {
    const resourceVersion = object.metadata?.resourceVersion;
    if (type === "BOOKMARK") {
      if (!collecting && Number(resourceVersion) < Number(at.resourceVersion)) {
        // Versions only grow (KEP-5504): this server was set up anew, and knows nothing of ours.
        const text = `watch ${resourceName(options.resource)}: the server's version went back`;
        throw new KubeError(text, { status: 410, reason: "Expired" });
      }
      if (collecting && object.metadata?.annotations?.["k8s.io/initial-events-end"] === "true") {
        at.resourceVersion = resourceVersion;
        options.onList([...collecting.values()]);
        collecting = undefined;
        options.onState?.(undefined, 0);
      }
    } else if (collecting) {
      if (type === "DELETED") collecting.delete(objectKey(object));
      else collecting.set(objectKey(object), kept(options, object));
    } else {
      out.push({ kind: type === "DELETED" ? "delete" : "put", object: clean(object) });
    }
    if (!collecting && resourceVersion) at.resourceVersion = resourceVersion;
  }
  if (out.length > 0) options.onEvents(out);
  return collecting;
}

function kept<T extends KubeObject, R>({ read }: InformerOptions<T, R>, object: T): R {
  // Without `read` it is the object itself: R is T.
  return read ? read(object) : (clean(object) as unknown as R);
}

/** Bookkeeping of server-side apply is often half of an object, and nobody reads it. */
function clean<T extends KubeObject>(object: T): T {
  const metadata = object.metadata as { managedFields?: unknown } | undefined;
  // `delete` would make a dictionary of the object, which is slower to read than one of a known shape.
  if (metadata?.managedFields) metadata.managedFields = undefined;
  return object;
}
