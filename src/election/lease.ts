// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from "#k8s/resource.ts";

/** coordination.k8s.io/v1 Lease, as far as leader election reads it. */
export interface LeaseObject extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    /** MicroTime: RFC 3339 with six digits of a second. */
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

/** A lease as last seen, and since when it has looked like that by our own clock. Clocks of others are not believed. */
export interface Observed {
  readonly lease: LeaseObject | undefined;
  readonly sinceMs: number;
}

/** Takes note of what the API server has; undefined: there is no lease. The time counts from the first sight of each change. */
export function observe(seen: Observed | undefined, lease: LeaseObject | undefined, nowMs: number): Observed {
  const same = seen && seen.lease?.metadata?.resourceVersion === lease?.metadata?.resourceVersion;
  return same ? { lease, sinceMs: seen.sinceMs } : { lease, sinceMs: nowMs };
}

export function holderOf({ lease }: Observed): string {
  return lease?.spec?.holderIdentity ?? "";
}

export interface Candidate {
  readonly identity: string;
  readonly leaseMs: number;
}

/** From when on a candidate may write itself into the lease: nobody holds it, it does itself, or its holder has not renewed for too long. */
export function freeFromMs(seen: Observed, candidate: Candidate): number {
  const holder = holderOf(seen);
  if (holder === "" || holder === candidate.identity) return seen.sinceMs;
  const seconds = seen.lease?.spec?.leaseDurationSeconds;
  return seen.sinceMs + (seconds === undefined ? candidate.leaseMs : seconds * 1000);
}

export function mayTake(seen: Observed, candidate: Candidate, nowMs: number): boolean {
  return nowMs >= freeFromMs(seen, candidate);
}

export interface LeaseWrite {
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  readonly leaseMs: number;
  readonly wallTime: Date;
  /** Of a lease that is made, and added to one that is there. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** The lease with the candidate as its holder: taken over, or renewed when it was the holder before. */
export function heldBy(
  seen: Observed,
  { namespace, name, identity, leaseMs, wallTime, labels }: LeaseWrite,
): LeaseObject {
  const { metadata, spec } = seen.lease ?? {};
  const now = microTime(wallTime);
  const renewed = holderOf(seen) === identity;
  const transitions = spec?.leaseTransitions ?? 0;
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: {
      ...(metadata ?? { namespace, name }),
      ...(labels && { labels: { ...metadata?.labels, ...labels } }),
    },
    spec: {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseMs / 1000),
      acquireTime: (renewed && spec?.acquireTime) || now,
      renewTime: now,
      leaseTransitions: renewed || !seen.lease ? transitions : transitions + 1,
    },
  };
}

/** The lease given up: the next candidate need not wait for it to run out. */
export function released(lease: LeaseObject, wallTime: Date): LeaseObject {
  const now = microTime(wallTime);
  const spec = {
    ...lease.spec,
    holderIdentity: "",
    leaseDurationSeconds: 1,
    acquireTime: now,
    renewTime: now,
  };
  return { ...lease, spec };
}

function microTime(time: Date): string {
  return time.toISOString().replace("Z", "000Z");
}
