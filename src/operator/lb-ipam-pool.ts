// SPDX-License-Identifier: Apache-2.0
import type { LoadBalancerIpPoolSpec } from "#api/crd/cilium-load-balancer-ip-pool.ts";
import type { KubeObject } from "#k8s/resource.ts";
import { errorText } from "#lib/errors.ts";
import type { Address, Family } from "#model/ip.ts";
import { type LabelSelector, selectsLabels } from "#model/selects-labels.ts";
import type { Condition } from "./conditions.ts";
import { overlap, type Range, RangeSet, readBlock, withoutEnds } from "./lb-ipam-ranges.ts";

/** A CiliumLoadBalancerIPPool. */
export interface LbPool {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly createdMs: number;
  /** One per block that can be read. */
  readonly ranges: readonly Range[];
  /** What of its blocks cannot be read. */
  readonly problem?: string;
  /** Absent: all Services. */
  readonly selector?: LabelSelector;
  readonly disabled: boolean;
  readonly givesEnds: boolean;
  readonly resourceVersion: string;
  readonly conditions: readonly Condition[];
}

export interface PoolObject extends KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly resourceVersion?: string;
    readonly creationTimestamp?: string;
  };
  readonly spec: LoadBalancerIpPoolSpec;
  readonly status?: { readonly conditions?: readonly Condition[] };
}

export function lbPoolRow({ metadata, spec, status }: PoolObject): LbPool {
  const ranges: Range[] = [];
  const problems: string[] = [];
  (spec.blocks ?? []).forEach((block, i) => {
    try {
      ranges.push(readBlock(block));
    } catch (thrown) {
      problems.push(`spec.blocks[${i}]: ${errorText(thrown)}`);
    }
  });
  return {
    name: metadata.name,
    uid: metadata.uid ?? "",
    generation: metadata.generation ?? 1,
    createdMs: Date.parse(metadata.creationTimestamp ?? "") || 0,
    ranges,
    ...(problems.length > 0 && { problem: problems.join("; ") }),
    ...(spec.serviceSelector && { selector: spec.serviceSelector }),
    disabled: spec.disabled === true,
    givesEnds: spec.allowFirstLastIPs !== "No",
    resourceVersion: metadata.resourceVersion ?? "",
    conditions: status?.conditions ?? [],
  };
}

/** Why a pool gives nothing new out, though it is not disabled. */
export interface PoolTrouble {
  readonly reason: "cidr_overlap" | "invalid_block";
  readonly message: string;
}

/** One pool at work: what it holds, what it gives out, what is in use. */
export class ActivePool {
  /** A later one of the same generation differs in its status alone. */
  row: LbPool;
  readonly trouble: PoolTrouble | undefined;
  /** What it gives out, by family. */
  readonly gives: Readonly<Record<Family, RangeSet>>;
  /** Addresses in use, whoever gave them out; by family. */
  readonly used: Record<Family, bigint> = { 4: 0n, 6: 0n };
  readonly #holds: Readonly<Record<Family, RangeSet>>;

  constructor(row: LbPool, trouble: PoolTrouble | undefined) {
    this.row = row;
    this.trouble = trouble;
    const given = row.givesEnds ? row.ranges : row.ranges.map(withoutEnds);
    this.gives = { 4: new RangeSet(4, given), 6: new RangeSet(6, given) };
    this.#holds = { 4: new RangeSet(4, row.ranges), 6: new RangeSet(6, row.ranges) };
  }

  get isOpen(): boolean {
    return !this.row.disabled && this.trouble === undefined;
  }

  /** Whether a Service may have an address of it; also one that is no longer given out. */
  holds(address: Address): boolean {
    return this.#holds[4].has(address) || this.#holds[6].has(address);
  }

  selects(labels: Readonly<Record<string, string>>): boolean {
    return selectsLabels(this.row.selector, labels);
  }

  isFull(of: Family): boolean {
    return this.used[of] >= this.gives[of].size;
  }

  /** Of both families. */
  get size(): bigint {
    return this.gives[4].size + this.gives[6].size;
  }

  get inUse(): bigint {
    return this.used[4] + this.used[6];
  }

  get free(): bigint {
    return this.size > this.inUse ? this.size - this.inUse : 0n;
  }
}

/**
 * Pools in the order in which they are asked (by age, then name). Of two that overlap the older works and the younger gives nothing out;
 * one that gives nothing out itself is in nobody's way. A pool with a block that cannot be read gives nothing out.
 */
export function activePools(rows: Iterable<LbPool>): ActivePool[] {
  const pools: ActivePool[] = [];
  const inOrder = [...rows].sort((a, b) => a.createdMs - b.createdMs || (a.name < b.name ? -1 : 1));
  for (const row of inOrder) pools.push(new ActivePool(row, troubleOf(row, pools)));
  return pools;
}

function troubleOf(row: LbPool, older: readonly ActivePool[]): PoolTrouble | undefined {
  if (row.problem !== undefined) return { reason: "invalid_block", message: row.problem };
  if (row.disabled) return undefined;
  for (const other of older) {
    if (!other.isOpen) continue;
    for (const range of row.ranges) {
      const theirs = other.row.ranges.find((one) => overlap(one, range));
      if (theirs)
        return {
          reason: "cidr_overlap",
          message: `Pool conflicts since ${range.text} overlaps ${theirs.text} of the older pool '${other.row.name}'`,
        };
    }
  }
  return undefined;
}
