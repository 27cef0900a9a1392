// SPDX-License-Identifier: Apache-2.0
import type { PolicyEntry } from "./rule.ts";

/**
 * The number of a policy's content: MurmurHash3 (Appleby, 32 bit) over its entries, never 0. Equal contents have equal numbers, also after
 * a restart: flows that were judged by them need not be judged again.
 * @param entries in the order of the policy
 */
export function revisionOf(
  entries: readonly PolicyEntry[],
  enforceIngress: boolean,
  enforceEgress: boolean,
): number {
  let hash = mix((enforceIngress ? 1 : 0) | (enforceEgress ? 2 : 0), entries.length);
  for (const entry of entries) {
    const { identity, proto, portBits, port, verdict, precedence, rule } = entry;
    hash = mix(hash, identity);
    hash = mix(hash, (port << 16) | (proto << 8) | portBits);
    hash = mix(hash, (precedence << 5) | (verdictNumbers[verdict] << 3) | stepOf(entry));
    hash = mix(hash, rule);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0 || 1;
}

const verdictNumbers = { allow: 1, deny: 2, pass: 3 } as const;

/** Audit, direction and round, in the order of a policy's entries. */
function stepOf({ direction, round, audit }: PolicyEntry): number {
  return (audit ? 4 : 0) + (direction === "ingress" ? 0 : 2) + (round === 2 ? 1 : 0);
}

function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const mixed = hash ^ k;
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

/** The order of a policy's entries: by key, so that two lists can be compared side by side. */
export function compareEntries(a: PolicyEntry, b: PolicyEntry): number {
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
    while (at < before.length && compareEntries(before[at]!, entry) < 0) gone.push(before[at++]!);
    const old = at < before.length && compareEntries(before[at]!, entry) === 0 ? before[at++] : undefined;
    const same =
      old && old.verdict === entry.verdict && old.precedence === entry.precedence && old.rule === entry.rule;
    if (!same) put.push(entry);
  }
  gone.push(...before.slice(at));
  return { put, gone };
}
