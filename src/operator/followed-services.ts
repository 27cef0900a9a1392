// SPDX-License-Identifier: Apache-2.0
import type { V1Service } from "@kubernetes/client-node";
import type { KubeObject } from "#k8s/resource.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";
import { isMarked, type LbService, lbServiceRow } from "./lb-ipam-service.ts";
import { type WatchedService, watchedServiceRow } from "./service-problems.ts";

/** A Service as each part of the operator reads it: in large clusters one watch of all of them is enough. */
export interface FollowedService {
  /** `namespace/name` */
  readonly key: string;
  readonly resourceVersion: string;
  /** Undefined: it is somebody else's to serve. */
  readonly watched: WatchedService | undefined;
  /** Undefined: it is no load balancer whose addresses are ours, nor was it. */
  readonly lb: LbService | undefined;
}

export interface FollowedServiceOptions {
  /** Off: nobody asks for load balancers' addresses. */
  readonly enabled: boolean;
  readonly requireClass: boolean;
}

/** @returns undefined for one that no part needs */
export function followedServiceRow(
  object: V1Service & KubeObject,
  lbIpam: FollowedServiceOptions,
): FollowedService | undefined {
  const { namespace = "", name = "", resourceVersion = "" } = object.metadata ?? {};
  const watched = watchedServiceRow(object);
  const row = lbIpam.enabled ? lbServiceRow(object, lbIpam.requireClass) : undefined;
  // One that was ours has to be given back.
  const lb = row && (row.isOurs || isMarked(row)) ? row : undefined;
  return watched || lb ? { key: `${namespace}/${name}`, resourceVersion, watched, lb } : undefined;
}

export interface ServiceParts {
  readonly watchedServices: WritableTable<WatchedService>;
  readonly lbServices: WritableTable<LbService>;
}

/** Keeps each part's table equal to what the followed Services have for it. */
export function splitServices(db: Database, followed: Table<FollowedService>, to: ServiceParts): Disposable {
  const sources = [to.watchedServices.source("services"), to.lbServices.source("services")];
  const update = (keys: Iterable<string>) =>
    db.write((tx) => {
      for (const key of keys) {
        const { watched, lb } = followed.get(key) ?? {};
        if (watched) tx.put(to.watchedServices, watched);
        else tx.delete(to.watchedServices, key);
        if (lb) tx.put(to.lbServices, lb);
        else tx.delete(to.lbServices, key);
      }
    });
  const stop = followed.onCommit(update);
  void followed.ready.then(() => {
    for (const source of sources) source.synced();
  });
  return { [Symbol.dispose]: stop };
}
