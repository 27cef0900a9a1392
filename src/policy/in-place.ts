// SPDX-License-Identifier: Apache-2.0
import { isBlockIdentity } from "#model/identity.ts";
import { differences } from "./revision.ts";
import type { PolicyEntry, ResolvedPolicy } from "./rule.ts";
import { prefixBits } from "./verdict.ts";

/** Writes of a map that packets are judged by meanwhile, to be done in this order: first all of `put`, then all of `gone`. */
export interface InPlace {
  readonly put: readonly PolicyEntry[];
  readonly gone: readonly PolicyEntry[];
}

/** So many writes are cheaper than a map, whatever its size. */
const few = 64;

/**
 * How a policy's map becomes that of another revision while packets look things up in it, each packet finding what it found before or what
 * it finds after, and never a third thing. Undefined: there is no such way, a map of its own is needed.
 *
 * A packet looks up at most one of each: the entries of its peer's identity, those of anybody (0), those of its block; in each round, and
 * each look-up takes the longest prefix that matches. Take one look-up, which finds e before and is to find f after:
 *
 * - Entries come (or change) the longest prefix first. While f is not there, nothing new that matches is shorter than f, and nothing longer
 *   than f that matches is ever new, or f would not be what is found after: e is found. Once f is there: when f is longer than e, or has
 *   its key, f is found from now on. When f is shorter, e goes on being found: its key is one of those that go.
 * - Entries go the shortest prefix first, after all have come. Those between f and e that go, go before e; e is found until it goes, and
 *   then f, since nothing longer than f stays.
 *
 * So each look-up changes over at one write. A verdict may come of several look-ups, though: where those of different kinds change
 * (the identity's and anybody's, say), or both rounds do, or the audit's too, a packet could mix them. Changes within one kind and round are no mixture: a packet
 * has one identity and one block. Whoever has both rounds or two kinds changed gets a new map, swapped in by one write; so does a
 * policy that begins or ceases to enforce a direction, and one that changes as a whole, for which it is cheaper.
 */
export function inPlace(before: ResolvedPolicy, after: ResolvedPolicy): InPlace | undefined {
  if (before.enforceIngress !== after.enforceIngress || before.enforceEgress !== after.enforceEgress)
    return undefined;
  if (before.audits !== after.audits) return undefined;
  const { put, gone } = differences(before.entries, after.entries);
  if (put.length + gone.length > Math.max(few, after.entries.length / 2)) return undefined;
  const changed = new Map<string, string>();
  for (const entry of [...put, ...gone]) {
    const lookUp = `${entry.audit} ${entry.round} ${kindOf(entry.identity)}`;
    if ((changed.get(entry.direction) ?? lookUp) !== lookUp) return undefined;
    changed.set(entry.direction, lookUp);
  }
  return {
    put: put.sort((a, b) => prefixBits(b) - prefixBits(a)),
    gone: gone.sort((a, b) => prefixBits(a) - prefixBits(b)),
  };
}

function kindOf(identity: number): "anybody" | "block" | "peer" {
  if (identity === 0) return "anybody";
  return isBlockIdentity(identity) ? "block" : "peer";
}
