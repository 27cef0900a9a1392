// SPDX-License-Identifier: Apache-2.0
import { contains, family, nthSubnet, type Prefix, prefixBits, subnetNumber } from "#model/ip.ts";

/** Far more subnets than a cluster has nodes; only a large IPv6 pool has more, and they are never needed. */
const maxSubnets = 1 << 20;

/**
 * The pod CIDRs of one family: subnets of one length out of a list of prefixes. They are given out in order and around, so that one that
 * was given back stays unused as long as possible.
 */
export class CidrPool {
  readonly #cidrs: readonly Prefix[];
  readonly #bits: number;
  /** Those of the pool's own length. */
  readonly #used = new Set<Prefix>();
  /** Of another length: from before the setting was changed. */
  readonly #odd = new Set<Prefix>();
  /** Where the search for the next begins. */
  #next = 0;

  constructor({ cidrs, maskSize }: { readonly cidrs: readonly Prefix[]; readonly maskSize: number }) {
    this.#cidrs = cidrs;
    this.#bits = maskSize;
  }

  get family(): 4 | 6 {
    return family(this.#cidrs[0]!);
  }

  /** How many subnets there are in all. */
  get size(): number {
    return this.#cidrs.reduce((sum, cidr) => sum + this.#count(cidr), 0);
  }

  get used(): number {
    return this.#used.size + this.#odd.size;
  }

  /** Whether somebody has it, or a part of it. */
  isUsed(cidr: Prefix): boolean {
    if (prefixBits(cidr) === this.#bits && this.#odd.size === 0) return this.#used.has(cidr);
    for (const set of [this.#used, this.#odd])
      for (const other of set) if (contains(other, cidr) || contains(cidr, other)) return true;
    return false;
  }

  /** Whether it is one of the pool's own subnets. */
  owns(cidr: Prefix): boolean {
    return prefixBits(cidr) === this.#bits && this.#cidrs.some((pool) => contains(pool, cidr));
  }

  /** Notes that somebody has it; it need not be of this pool. */
  take(cidr: Prefix): void {
    if (prefixBits(cidr) === this.#bits) this.#used.add(cidr);
    else this.#odd.add(cidr);
  }

  free(cidr: Prefix): void {
    this.#used.delete(cidr);
    this.#odd.delete(cidr);
  }

  /** The search for the next goes on behind this one, which was given out last. */
  continueAfter(cidr: Prefix): void {
    let before = 0;
    for (const pool of this.#cidrs) {
      if (contains(pool, cidr)) {
        const number = subnetNumber(pool, this.#bits, cidr);
        if (number < this.#count(pool)) this.#next = before + number + 1;
        return;
      }
      before += this.#count(pool);
    }
  }

  /** The next that nobody has, taken; undefined: there is none. */
  allocate(): Prefix | undefined {
    const size = this.size;
    for (let tried = 0; tried < size; tried++) {
      const n = (this.#next + tried) % size;
      const cidr = this.#nth(n);
      if (this.isUsed(cidr)) continue;
      this.#used.add(cidr);
      this.#next = n + 1;
      return cidr;
    }
    return undefined;
  }

  #nth(n: number): Prefix {
    let rest = n;
    for (const cidr of this.#cidrs) {
      const count = this.#count(cidr);
      if (rest < count) return nthSubnet(cidr, this.#bits, rest);
      rest -= count;
    }
    throw new RangeError(`the pool has no subnet ${n}`);
  }

  #count(cidr: Prefix): number {
    return Math.min(maxSubnets, 2 ** (this.#bits - prefixBits(cidr)));
  }
}
