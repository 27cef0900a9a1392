// SPDX-License-Identifier: Apache-2.0
import type { UsedIdentity } from "./tables.ts";

/** What to do about an identity: `mark` it as unused, `unmark` it, `delete` it. */
export type Verdict = "mark" | "unmark" | "delete";

export interface Sweep {
  /** By this process's own clock, which does not jump. */
  readonly nowMs: number;
  /** By the wall clock, which all operators share. */
  readonly wallMs: number;
  readonly graceMs: number;
}

/**
 * Finds the identities that can go, in two steps with the grace time between them. First an identity that two sweeps found unused is marked with
 * the time, in the object, so that an operator that comes back goes on from there. It stays for the grace time: no agent gives its number to other
 * labels, and one that takes it into use again makes it used again. Only then is it deleted. Pure, but for what it remembers of earlier sweeps.
 */
export class UnusedIdentities {
  /** When this process first saw it unused without a break. */
  readonly #sinceMs = new Map<number, number>();

  sweep(
    identities: Iterable<UsedIdentity>,
    isUsed: (id: number) => boolean,
    { nowMs, wallMs, graceMs }: Sweep,
  ): Map<number, Verdict> {
    const verdicts = new Map<number, Verdict>();
    const there = new Set<number>();
    for (const { id, unusedSinceMs } of identities) {
      there.add(id);
      if (isUsed(id)) {
        this.#sinceMs.delete(id);
        if (unusedSinceMs !== undefined) verdicts.set(id, "unmark");
        continue;
      }
      const sinceMs = this.#sinceMs.get(id);
      if (sinceMs === undefined) this.#sinceMs.set(id, nowMs);
      else if (unusedSinceMs === undefined) verdicts.set(id, "mark");
      // Either clock alone could be wrong: the wall clock jumps, and our own began with this process.
      else if (wallMs - unusedSinceMs >= graceMs && nowMs - sinceMs >= Math.min(graceMs, leastSeenMs))
        verdicts.set(id, "delete");
    }
    for (const id of this.#sinceMs.keys()) if (!there.has(id)) this.#sinceMs.delete(id);
    return verdicts;
  }
}

/** An operator that has just begun does not delete at once what another marked long ago. */
const leastSeenMs = 120_000;
