// SPDX-License-Identifier: Apache-2.0
import { type Address, addressNumber, type Family, family } from "#model/ip.ts";
import { AddressOwners } from "./lb-ipam-owners.ts";
import { type ActivePool, activePools, type LbPool } from "./lb-ipam-pool.ts";
import { type LbService, lbServiceKey } from "./lb-ipam-service.ts";

/** Words of Cilium's, which scripts and alerts ask for; `reserved` and `wrong_family` are further ones. */
export type Reason =
  | "satisfied"
  | "no_pool"
  | "out_of_ips"
  | "already_allocated"
  | "already_allocated_incompatible_service"
  | "pool_selector_mismatch"
  | "invalid_ip"
  | "wrong_family"
  | "reserved";

/** What a Service has, and why not more. */
export interface LbAssignment {
  readonly addresses: readonly Address[];
  readonly reason: Reason;
  /** "" when it has all it asks for. */
  readonly message: string;
}

interface Lack {
  readonly reason: Reason;
  readonly message: string;
}

const nothing: LbAssignment = { addresses: [], reason: "no_pool", message: "" };

/**
 * Gives Services the load-balancer addresses they ask for, out of the pools. Who has an address keeps it as long as it may have it: over restarts (a
 * Service's status is what it has), while its pool is disabled or in conflict, and whatever others ask for. Pure: changes in, assignments out.
 */
export class LbIpam {
  #pools: readonly ActivePool[] = [];
  readonly #services = new Map<string, LbService>();
  readonly #assigned = new Map<string, LbAssignment>();
  readonly #owners = new AddressOwners();
  /** Services whose claims have to be looked at. */
  readonly #dirty = new Set<string>();
  /** Services that lack something. */
  readonly #lacking = new Set<string>();
  /** What was given out last, by pool and family: an address given back is used again last. */
  readonly #last = new Map<string, bigint>();

  /** In the order in which they are asked. */
  get pools(): readonly ActivePool[] {
    return this.#pools;
  }

  /** Services with a claim or a wish. */
  get size(): number {
    return this.#services.size;
  }

  get lacking(): ReadonlySet<string> {
    return this.#lacking;
  }

  assignment(key: string): LbAssignment | undefined {
    return this.#assigned.get(key);
  }

  /** Whether any pool has the address. */
  holds(address: Address): boolean {
    return this.#pools.some((pool) => pool.holds(address));
  }

  setPools(rows: Iterable<LbPool>): void {
    const given = new Map([...rows].map((row) => [row.uid, row]));
    const isAsBefore = ({ row }: ActivePool) => given.get(row.uid)?.generation === row.generation;
    if (given.size === this.#pools.length && this.#pools.every(isAsBefore)) {
      for (const pool of this.#pools) pool.row = given.get(pool.row.uid)!;
      return;
    }
    this.#pools = activePools(given.values());
    for (const address of this.#owners.addresses()) this.#count(address, 1n);
    for (const key of this.#services.keys()) this.#dirty.add(key);
  }

  setService(service: LbService): void {
    const key = lbServiceKey(service);
    const before = this.#services.get(key);
    // A Service made anew under the name has what its own status says.
    if (before && before.uid !== service.uid) this.removeService(key);
    else if (before) this.#release(before);
    if (!this.#assigned.has(key)) this.#assigned.set(key, { ...nothing, addresses: service.held });
    this.#services.set(key, service);
    this.#dirty.add(key);
  }

  removeService(key: string): void {
    const service = this.#services.get(key);
    if (!service) return;
    this.#release(service);
    this.#services.delete(key);
    this.#assigned.delete(key);
    this.#dirty.delete(key);
    this.#lacking.delete(key);
  }

  /** Settles what has changed; returns the Services whose assignment is another now. */
  settle(): Set<string> {
    const dirty = [...this.#dirty].map((key) => this.#services.get(key)!).sort(byAge);
    this.#dirty.clear();
    const before = new Map<string, LbAssignment>();
    for (const service of dirty) {
      before.set(lbServiceKey(service), this.#assigned.get(lbServiceKey(service))!);
      this.#release(service);
    }
    // What is in use comes first, whoever else asks for it.
    for (const service of dirty) this.#keep(service, before.get(lbServiceKey(service))!.addresses);
    const waiting = new Set([...before.keys(), ...this.#lacking]);
    const inTurn = [...waiting].map((key) => this.#services.get(key)!).sort(byRequest);
    const changed = new Set<string>();
    for (const service of inTurn) {
      const key = lbServiceKey(service);
      const old = before.get(key) ?? this.#assigned.get(key)!;
      const now = this.#fill(service);
      this.#assigned.set(key, now);
      if (now.reason === "satisfied") this.#lacking.delete(key);
      else this.#lacking.add(key);
      if (!isSame(old, now)) changed.add(key);
    }
    return changed;
  }

  /** Claims again, of what a Service had, what it may have. */
  #keep(service: LbService, had: readonly Address[]): void {
    const kept: Address[] = [];
    for (const address of had) {
      const first = service.requested.length > 0 || !kept.some((one) => family(one) === family(address));
      if (!first || kept.includes(address) || !this.#mayKeep(service, address)) continue;
      this.#claim(service, address);
      kept.push(address);
    }
    this.#assigned.set(lbServiceKey(service), { ...nothing, addresses: kept });
  }

  #mayKeep(service: LbService, address: Address): boolean {
    const { requested, unreadable, families, labels } = service;
    if (!families.includes(family(address))) return false;
    const asks = requested.length > 0 || unreadable.length > 0;
    if (asks && !requested.includes(address)) return false;
    const holding = this.#pools.filter((pool) => pool.holds(address));
    // A pool with a block that cannot be read may have had it.
    const lost = holding.length === 0 && this.#pools.some(({ row }) => row.problem !== undefined);
    if (!lost && !holding.some((pool) => pool.selects(labels))) return false;
    return this.#owners.inTheWay(service, address) === undefined;
  }

  /** Claims what a Service lacks, as far as there is any. */
  #fill(service: LbService): LbAssignment {
    const { requested, unreadable } = service;
    const has = [...this.#assigned.get(lbServiceKey(service))!.addresses];
    const lacks: Lack[] = unreadable.map((text) => ({
      reason: "invalid_ip",
      message: `The requested '${text}' is not an IP address`,
    }));
    if (requested.length > 0 || unreadable.length > 0) {
      for (const address of requested) {
        if (has.includes(address)) continue;
        const lack = this.#refusal(service, address);
        if (lack) lacks.push(lack);
        else {
          this.#claim(service, address);
          has.push(address);
        }
      }
    } else lacks.push(...this.#fillFamilies(service, has));
    const [first] = lacks;
    if (!first) return { addresses: has, reason: "satisfied", message: "" };
    return { addresses: has, reason: first.reason, message: lacks.map(({ message }) => message).join("; ") };
  }

  #fillFamilies(service: LbService, has: Address[]): Lack[] {
    const lacks: Lack[] = [];
    for (const of of service.families) {
      if (has.some((address) => family(address) === of)) continue;
      const found = this.#any(service, of);
      if (typeof found === "string") {
        this.#claim(service, found);
        has.push(found);
      } else lacks.push(found);
    }
    const enough = service.oneFamilyWillDo && has.length > 0;
    return enough ? lacks.filter(({ reason }) => reason !== "no_pool") : lacks;
  }

  /** An address of a family that a Service may have: one it can share, or a free one. */
  #any(service: LbService, of: Family): Address | Lack {
    const name = service.families.length > 1 ? ` with IPv${of} addresses` : "";
    const pools = this.#pools.filter(
      (pool) => pool.isOpen && pool.gives[of].size > 0n && pool.selects(service.labels),
    );
    if (pools.length === 0) {
      const message = `There are no enabled CiliumLoadBalancerIPPools${name} that match this service`;
      return { reason: "no_pool", message };
    }
    for (const address of this.#owners.sharedBy(service.sharingKey))
      if (pools.some((pool) => pool.gives[of].has(address)) && !this.#owners.inTheWay(service, address))
        return address;
    for (const pool of pools) {
      if (pool.isFull(of)) continue;
      const at = `${of} ${pool.row.name}`;
      const address = pool.gives[of].find(this.#last.get(at), (one) => !this.#owners.has(one));
      if (address === undefined) continue;
      this.#last.set(at, addressNumber(address));
      return address;
    }
    const message = `All enabled CiliumLoadBalancerIPPools${name} that match this service ran out of allocatable IPs`;
    return { reason: "out_of_ips", message };
  }

  /** Why a Service cannot have the address it requests. */
  #refusal(service: LbService, address: Address): Lack | undefined {
    const of = family(address);
    if (!service.families.includes(of))
      return {
        reason: "wrong_family",
        message: `The requested IP '${address}' is of IPv${of}, which the service's ipFamilies lack`,
      };
    const holding = this.#pools.filter((pool) => pool.holds(address));
    const selecting = holding.filter((pool) => pool.selects(service.labels));
    if (holding.length === 0)
      return {
        reason: "no_pool",
        message: `The requested IP '${address}' is in no CiliumLoadBalancerIPPool`,
      };
    if (selecting.length === 0)
      return {
        reason: "pool_selector_mismatch",
        message: `The requested IP '${address}' is of pool '${holding[0]!.row.name}', whose selector does not match this service`,
      };
    const open = selecting.filter(({ isOpen }) => isOpen);
    if (open.length === 0)
      return {
        reason: "no_pool",
        message: `The requested IP '${address}' is of pool '${selecting[0]!.row.name}', which is disabled or in conflict`,
      };
    if (!open.some((pool) => pool.gives[of].has(address)))
      return {
        reason: "reserved",
        message: `The requested IP '${address}' is the first or last one of a CIDR, which pool '${open[0]!.row.name}' does not give out (allowFirstLastIPs)`,
      };
    return this.#owners.inTheWay(service, address);
  }

  #claim(service: LbService, address: Address): void {
    if (this.#owners.claim(service, address)) this.#count(address, 1n);
  }

  #release(service: LbService): void {
    const { addresses } = this.#assigned.get(lbServiceKey(service)) ?? nothing;
    for (const free of this.#owners.release(service, addresses)) this.#count(free, -1n);
  }

  #count(address: Address, by: 1n | -1n): void {
    const of = family(address);
    for (const pool of this.#pools) if (pool.gives[of].has(address)) pool.used[of] += by;
  }
}

/** The older first. */
function byAge(a: LbService, b: LbService): number {
  return a.createdMs - b.createdMs || (lbServiceKey(a) < lbServiceKey(b) ? -1 : 1);
}

/** Who asks for a certain address goes before those to whom any will do. */
function byRequest(a: LbService, b: LbService): number {
  return Number(b.requested.length > 0) - Number(a.requested.length > 0) || byAge(a, b);
}

function isSame(a: LbAssignment, b: LbAssignment): boolean {
  return a.reason === b.reason && a.message === b.message && a.addresses.join() === b.addresses.join();
}
