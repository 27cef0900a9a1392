// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { FollowReport } from "#k8s/follow-report.ts";
import { runInformer } from "#k8s/informer.ts";
import { Mirror, type MirrorOptions, type Reading } from "#k8s/mirror.ts";
import { type KubeObject, objectKey, type Resource, resourceName } from "#k8s/resource.ts";
import { ShortListGuard } from "#k8s/short-list.ts";
import { type Clock, systemClock } from "#lib/clock.ts";
import type { Health } from "#lib/health.ts";

export interface ReflectOptions<T, V> extends MirrorOptions<T, V> {
  readonly client: KubeClient;
  readonly resource: Resource;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Name as a source of the table and in health (`k8s/<source>`). Default: the resource's name. */
  readonly source?: string;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly clock?: Clock;
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
  const { client, table, health, log, clock = systemClock } = options;
  const { source = resourceName(options.resource) } = options;
  const registered = table.source(source);
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const mirror = new Mirror(options);
  const report = new FollowReport({ client, source, health, log });
  const { snapshots } = options.db;
  const changed = () => {
    report.follows(...mirror.health());
    snapshots?.changed(source, () => mirror.dump());
  };
  const guard = new ShortListGuard({
    clock,
    list: () => keysOf(options, signal),
    remove: (keys) => mirror.remove(keys),
    onState(missing, why) {
      report.shortList(missing, why);
      changed();
    },
  });
  const fromSnapshot = () => {
    const kept = snapshots?.load(source);
    if (kept === undefined) return;
    mirror.restore(kept);
    snapshots?.hold(source);
    registered.synced();
    report.fromSnapshot(kept.length);
  };
  const stopWaiting = snapshots && clock.after(snapshots.afterMs, fromSnapshot);
  report.starts();
  const running = runInformer<T, Reading<V>>({
    ...followed(options),
    signal,
    read: (object) => mirror.read(object),
    onList(objects) {
      stopWaiting?.();
      mirror.replace(objects, guard.check(mirror.missing(objects), mirror.size));
      registered.synced();
      snapshots?.release(source);
      changed();
    },
    onEvents(events) {
      for (const { object } of events) guard.seen(objectKey(object));
      mirror.apply(events);
      changed();
    },
    onState(problem, failures) {
      if (problem !== undefined) return report.lost(problem, failures);
      report.found();
      changed();
    },
  });
  const finished = running.then(
    () => report.stopped(),
    (thrown: unknown) => report.broke(thrown),
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

/** What an informer is told of the collection, and its knobs. */
function followed<T, V>(options: ReflectOptions<T, V>) {
  const { client, resource, namespace, labelSelector, fieldSelector, clock, idleMs, random } = options;
  return {
    client,
    resource,
    namespace,
    labelSelector,
    fieldSelector,
    ...(clock && { clock }),
    ...(idleMs !== undefined && { idleMs }),
    ...(random && { random }),
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
