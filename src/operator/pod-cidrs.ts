// SPDX-License-Identifier: Apache-2.0
import { family, type Prefix } from "#model/ip.ts";
import { CidrPool } from "./cidr-pool.ts";
import type { OperatorConfig } from "./config.ts";

/** A CiliumNode as the allocation of pod CIDRs sees it. */
export interface PodCidrNode {
  readonly name: string;
  /** When the object was made, milliseconds since the epoch. */
  readonly createdMs: number;
  readonly podCidrs: readonly Prefix[];
}

/** What a node shall have, and why that is less, or other, than it should. */
export interface Assignment {
  readonly podCidrs: readonly Prefix[];
  /** A family's pools are used up: what the node lacks. */
  readonly lacks?: string;
  /** CIDRs taken from the node, and who has them. */
  readonly conflicts: readonly { readonly cidr: Prefix; readonly owner: string }[];
}

/** How many CIDRs of a node that is gone are kept in mind, for its return. */
const maxRemembered = 1000;

/**
 * Gives every node one pod CIDR a family, out of the pools. What a node has it keeps, even when the pools are changed: its pods live there.
 * Only where two nodes have the same one, the node made later gets another. A node that comes back gets what it had, while nobody else has it.
 */
export class PodCidrs {
  readonly pools: readonly CidrPool[];
  readonly #assigned = new Map<string, Assignment>();
  readonly #gone = new Map<string, readonly Prefix[]>();

  constructor({ v4, v6 }: OperatorConfig["clusterPool"]) {
    this.pools = [v4, v6].flatMap((pool) => (pool ? [new CidrPool(pool)] : []));
  }

  /** Brings the assignments up to date with the nodes there are. @returns those of all nodes, by name */
  update(nodes: Iterable<PodCidrNode>): ReadonlyMap<string, Assignment> {
    const sorted = [...nodes].sort((a, b) => a.createdMs - b.createdMs || (a.name < b.name ? -1 : 1));
    const names = new Set(sorted.map((node) => node.name));
    const first = this.#assigned.size === 0 && this.#gone.size === 0;
    for (const [name, { podCidrs }] of this.#assigned) if (!names.has(name)) this.#release(name, podCidrs);
    const kept = this.#keep(sorted);
    if (first) this.#continueAfterNewest(sorted);
    for (const node of sorted) this.#assigned.set(node.name, this.#complete(node.name, kept.get(node.name)!));
    return this.#assigned;
  }

  #release(name: string, podCidrs: readonly Prefix[]): void {
    for (const pool of this.pools) for (const cidr of podCidrs) pool.free(cidr);
    this.#assigned.delete(name);
    this.#gone.delete(name);
    this.#gone.set(name, podCidrs);
    for (const oldest of this.#gone.keys()) {
      if (this.#gone.size <= maxRemembered) break;
      this.#gone.delete(oldest);
    }
  }

  /** What each node keeps of what it has, or of what it was given and has not written down yet; oldest nodes first. */
  #keep(sorted: readonly PodCidrNode[]): Map<string, Omit<Assignment, "lacks">> {
    const owners = new Map<Prefix, string>();
    const kept = new Map<string, Omit<Assignment, "lacks">>();
    const before = new Map(this.#assigned);
    for (const { podCidrs } of before.values())
      for (const pool of this.pools) for (const cidr of podCidrs) pool.free(cidr);
    for (const { name, podCidrs } of sorted) {
      const mine: Prefix[] = [];
      const conflicts: { cidr: Prefix; owner: string }[] = [];
      const wanted = [...podCidrs, ...(before.get(name)?.podCidrs ?? [])];
      for (const cidr of wanted) {
        const pool = this.pools.find((one) => one.family === family(cidr));
        if (!pool || mine.some((other) => family(other) === family(cidr))) continue;
        if (pool.isUsed(cidr)) {
          if (podCidrs.includes(cidr)) conflicts.push({ cidr, owner: owners.get(cidr) ?? "another node" });
          continue;
        }
        pool.take(cidr);
        owners.set(cidr, name);
        mine.push(cidr);
      }
      kept.set(name, { podCidrs: mine, conflicts });
    }
    return kept;
  }

  /** After a restart: the newest node's CIDR is most likely the one given out last. */
  #continueAfterNewest(sorted: readonly PodCidrNode[]): void {
    for (const pool of this.pools) {
      const of = (node: PodCidrNode) => node.podCidrs.find((cidr) => family(cidr) === pool.family);
      const newest = sorted.findLast((node) => of(node) !== undefined);
      if (newest) pool.continueAfter(of(newest)!);
    }
  }

  #complete(name: string, { podCidrs, conflicts }: Omit<Assignment, "lacks">): Assignment {
    const mine = [...podCidrs];
    const lacks: string[] = [];
    for (const pool of this.pools) {
      if (mine.some((cidr) => family(cidr) === pool.family)) continue;
      const cidr = this.#returned(name, pool) ?? pool.allocate();
      if (cidr) mine.push(cidr);
      else lacks.push(`all ${pool.size} IPv${pool.family} pod CIDRs of the cluster's pools are in use`);
    }
    this.#gone.delete(name);
    mine.sort((a, b) => family(a) - family(b));
    return { podCidrs: mine, conflicts, ...(lacks.length > 0 && { lacks: lacks.join("; ") }) };
  }

  #returned(name: string, pool: CidrPool): Prefix | undefined {
    const cidr = this.#gone.get(name)?.find((one) => family(one) === pool.family);
    if (!cidr || !pool.owns(cidr) || pool.isUsed(cidr)) return undefined;
    pool.take(cidr);
    return cidr;
  }
}
