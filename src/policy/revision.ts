// SPDX-License-Identifier: Apache-2.0
import type { PolicyEntry } from "./rule.ts";

/**
 * The number of a policy's content, never 0. Equal contents have equal numbers, also after a restart: flows that were judged by them need
 * not be judged again. It comes of the sum of the entries' hashes, so that a change costs what changed: see {@link sumOf}.
 */
export function revisionOf(
  entries: readonly PolicyEntry[],
  enforceIngress: boolean,
  enforceEgress: boolean,
): number {
  return revisionOfSum(sumOf(entries), { count: entries.length, enforceIngress, enforceEgress });
}

/** {@link revisionOf} of a policy of which the sum is known. */
export function revisionOfSum(
  sum: number,
  policy: { readonly count: number; readonly enforceIngress: boolean; readonly enforceEgress: boolean },
): number {
  const { count, enforceIngress, enforceEgress } = policy;
  return finish(mix(mix((enforceIngress ? 1 : 0) | (enforceEgress ? 2 : 0), count), sum)) >>> 0 || 1;
}

/** Hashes of entries (MurmurHash3, Appleby, 32 bit) added up: in any order, and of parts, wrapping at 32 bits. */
export function sumOf(entries: readonly PolicyEntry[]): number {
  let sum = 0;
  for (const entry of entries) {
    const { identity, proto, portBits, port, verdict, precedence, rule } = entry;
    let hash = mix(0, identity);
    hash = mix(hash, (port << 16) | (proto << 8) | portBits);
    hash = mix(hash, (precedence << 5) | (verdictNumbers[verdict] << 3) | stepOf(entry));
    sum = (sum + finish(mix(hash, rule))) | 0;
  }
  return sum;
}

function finish(word: number): number {
  let hash = word ^ (word >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

const verdictNumbers = { allow: 1, deny: 2, pass: 3 } as const;

/** Audit, direction and round, in the order of a policy's entries: 0 to 7. */
export function stepOf({ direction, round, audit }: EntryStep): number {
  return (audit ? 4 : 0) + (direction === "ingress" ? 0 : 2) + (round === 2 ? 1 : 0);
}

function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const mixed = hash ^ k;
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

/** What no two entries of a policy have in common. */
export type EntryKey = EntryStep & Pick<PolicyEntry, "identity" | "proto" | "port" | "portBits">;
export type EntryStep = Pick<PolicyEntry, "direction" | "round" | "audit">;

/** The order of a policy's entries: by key, so that two lists can be compared side by side. */
export function compareEntries(a: EntryKey, b: EntryKey): number {
  const steps = stepOf(a) - stepOf(b);
  return steps || a.identity - b.identity || a.proto - b.proto || a.port - b.port || a.portBits - b.portBits;
}

/** Entries of `after` that are not in `before` as they are, and entries of `before` whose keys are gone. Both sorted. */
export function differences(
  before: readonly PolicyEntry[],
  after: readonly PolicyEntry[],
): { readonly put: PolicyEntry[]; readonly gone: PolicyEntry[] } {
  const put: PolicyEntry[] = [];
  const gone: PolicyEntry[] = [];
  let at = 0;
  for (const entry of after) {
    if (before[at] === entry) {
      at++;
      continue;
    }
    while (at < before.length && compareEntries(before[at]!, entry) < 0) gone.push(before[at++]!);
    const old = at < before.length && compareEntries(before[at]!, entry) === 0 ? before[at++] : undefined;
    const same =
      old && old.verdict === entry.verdict && old.precedence === entry.precedence && old.rule === entry.rule;
    if (!same) put.push(entry);
  }
  gone.push(...before.slice(at));
  return { put, gone };
}
