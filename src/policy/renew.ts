// SPDX-License-Identifier: Apache-2.0
import type { DistinctPolicy } from "./distinct.ts";
import type { Resolver } from "./resolve.ts";
import { compareEntries, type EntryStep, revisionOfSum, stepOf, sumOf } from "./revision.ts";
import type { PolicyEntry, ResolvedPolicy } from "./rule.ts";

/** Past this many identities a policy's entries are gone through once instead of being searched for each. */
const searched = 32;

/** Resolves a policy as a whole. */
export function renewAll(policy: DistinctPolicy, resolver: Resolver): void {
  const entries = resolver.all();
  policy.resolver = resolver;
  policy.sum = sumOf(entries);
  policy.resolved = resolvedOf(policy.id, resolver, { entries, sum: policy.sum });
}

/** Entries that a policy had and those it has in their place. */
export interface Renewed {
  readonly gone: readonly PolicyEntry[];
  readonly come: readonly PolicyEntry[];
}

/** Resolves anew what a policy says of some identities; the rest stays as it is. The outcome is that of {@link renewAll}. */
export function renewSome(
  policy: DistinctPolicy,
  resolver: Resolver,
  identities: ReadonlySet<number>,
): Renewed {
  const before = policy.resolved!.entries;
  const gone = entriesOf(before, identities);
  const come: PolicyEntry[] = [];
  for (const identity of identities) come.push(...resolver.of(identity));
  const entries =
    identities.size > searched
      ? before
          .filter(({ identity }) => !identities.has(identity))
          .concat(come)
          .sort(compareEntries)
      : spliced(before, identities, come);
  // What went is what the sum of the whole lacks; few enough are looked at to tell.
  policy.sum = (policy.sum - sumOf(gone) + sumOf(come)) | 0;
  policy.resolved = resolvedOf(policy.id, resolver, { entries, sum: policy.sum });
  return { gone, come };
}

function resolvedOf(
  id: number,
  { enforceIngress, enforceEgress, audits }: Resolver,
  { entries, sum }: { readonly entries: readonly PolicyEntry[]; readonly sum: number },
): ResolvedPolicy {
  const revision = revisionOfSum(sum, { count: entries.length, enforceIngress, enforceEgress });
  return { id, revision, enforceIngress, enforceEgress, ...(audits && { audits }), entries };
}

const steps: readonly EntryStep[] = [undefined, true as const].flatMap((audit) =>
  (["ingress", "egress"] as const).flatMap((direction) =>
    [undefined, 2 as const].map((round) => ({ direction, ...(round && { round }), ...(audit && { audit }) })),
  ),
);

function spliced(
  before: readonly PolicyEntry[],
  identities: ReadonlySet<number>,
  added: readonly PolicyEntry[],
): PolicyEntry[] {
  const entries = before.slice();
  for (const identity of identities) {
    for (const step of steps) {
      const [from, to] = rangeOf(entries, step, identity);
      const said = added.filter((entry) => entry.identity === identity && stepOf(entry) === stepOf(step));
      if (to > from || said.length > 0) entries.splice(from, to - from, ...said);
    }
  }
  return entries;
}

function entriesOf(entries: readonly PolicyEntry[], identities: ReadonlySet<number>): PolicyEntry[] {
  if (identities.size > searched) return entries.filter(({ identity }) => identities.has(identity));
  return [...identities].flatMap((identity) =>
    steps.flatMap((step) => entries.slice(...rangeOf(entries, step, identity))),
  );
}

/** Where the entries of an identity stand, or would. */
function rangeOf(entries: readonly PolicyEntry[], step: EntryStep, identity: number): [number, number] {
  const edge = (proto: number) => {
    const probe = { ...step, identity, proto, port: -1, portBits: -1 };
    let [low, high] = [0, entries.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareEntries(entries[middle]!, probe) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return [edge(-1), edge(256)];
}
