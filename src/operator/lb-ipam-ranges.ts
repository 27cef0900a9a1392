// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import {
  type Address,
  addressNumber,
  addressOfNumber,
  type Family,
  family,
  parseAddress,
  parsePrefix,
  prefixAddress,
  prefixSize,
} from "#model/ip.ts";

/** Addresses from the first to the last, both in it, as numbers of their family. */
export interface Range {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
  /** As the pool has it: `10.0.0.0/24`, `10.0.0.10-10.0.0.20`. */
  readonly text: string;
}

/** A block of a pool, as far as its object may have it. */
export interface Block {
  readonly cidr?: string | undefined;
  readonly start?: string | undefined;
  readonly stop?: string | undefined;
}

/** @throws WeftError E_POOL saying what is wrong with the block */
export function readBlock({ cidr, start, stop }: Block): Range {
  if (cidr !== undefined && (start !== undefined || stop !== undefined))
    throw new WeftError("E_POOL", `a block has either cidr or start and stop, "${cidr}" has both`);
  if (cidr !== undefined) return readCidr(cidr);
  if (start === undefined) throw new WeftError("E_POOL", "a block needs cidr, or start");
  const from = parseAddress(start);
  const to = parseAddress(stop ?? start);
  const text = from === to ? from : `${from}-${to}`;
  if (family(from) !== family(to)) throw new WeftError("E_POOL", `${text} begins and ends in two families`);
  const [first, last] = [addressNumber(from), addressNumber(to)];
  if (last < first) throw new WeftError("E_POOL", `${text} ends before it begins`);
  return { family: family(from), first, last, text };
}

function readCidr(text: string): Range {
  const prefix = parsePrefix(text);
  const first = addressNumber(prefixAddress(prefix));
  const last = first + BigInt(prefixSize(prefix)) - 1n;
  return { family: family(prefix), first, last, text: prefix };
}

/** A CIDR's range without its first and last address; a CIDR of one or two has none to spare, nor has a range without CIDR. */
export function withoutEnds(range: Range): Range {
  if (!range.text.includes("/") || range.last - range.first < 2n) return range;
  return { ...range, first: range.first + 1n, last: range.last - 1n };
}

export function overlap(a: Range, b: Range): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

/** Ranges of one family, in order and apart from each other. */
export class RangeSet {
  readonly family: Family;
  /** How many addresses there are. */
  readonly size: bigint;
  readonly #ranges: readonly Range[];

  constructor(of: Family, ranges: readonly Range[]) {
    this.family = of;
    this.#ranges = merged(ranges.filter((range) => range.family === of));
    this.size = this.#ranges.reduce((sum, { first, last }) => sum + last - first + 1n, 0n);
  }

  has(address: Address): boolean {
    if (family(address) !== this.family) return false;
    const number = addressNumber(address);
    return this.#ranges.some(({ first, last }) => first <= number && number <= last);
  }

  /** The first address after `after` that `isFree`, around to `after` itself; undefined: none is. Absent `after`: from the start. */
  find(after: bigint | undefined, isFree: (address: Address) => boolean): Address | undefined {
    const from = after === undefined ? 0n : after + 1n;
    for (const around of [false, true])
      for (const { first, last } of this.#ranges) {
        const begin = around || first > from ? first : from;
        const end = around && last >= from ? from - 1n : last;
        for (let number = begin; number <= end; number++) {
          const address = addressOfNumber(this.family, number);
          if (isFree(address)) return address;
        }
      }
    return undefined;
  }
}

function merged(ranges: readonly Range[]): Range[] {
  const out: Range[] = [];
  for (const range of [...ranges].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    const before = out.at(-1);
    if (!before || range.first > before.last + 1n) out.push(range);
    else if (range.last > before.last) out[out.length - 1] = { ...before, last: range.last };
  }
  return out;
}
