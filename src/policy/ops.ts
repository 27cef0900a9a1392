// SPDX-License-Identifier: Apache-2.0
import { policyEntryLayout } from "#datapath/layouts/policy-entry.ts";
import { policyKeyLayout } from "#datapath/layouts/policy-key.ts";
import { eachEntry } from "#datapath/map-ops.ts";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { type TypedMap, typedMap, u32Layout } from "#kernel/bpf/typed-map.ts";
import { hasErrno } from "#kernel/errno.ts";
import { type Clock, systemClock } from "#lib/clock.ts";
import { WeftError } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type Reconciler, type ReconcilerOps, startReconciler } from "#store/reconciler.ts";
import type { Database, Table } from "#store/table.ts";
import { elementOf, entryOf, isSelfElement, selfElementOf, selfOf } from "./entries.ts";
import { inPlace } from "./in-place.ts";
import { compareEntries, revisionOf } from "./revision.ts";
import type { PolicyEntry, ResolvedPolicy } from "./rule.ts";

/** Elements of a policy's map, as the programs declare it (`bpf/lib/maps.h`): an outer map takes no other. */
const mapSize = 131_072;

/** Entries a policy may have: one element of its map is the policy's own. One of more is refused before it is in force. */
export const policyCapacity = mapSize - 1;

/**
 * How long a policy that nobody wants stays in the kernel. The endpoints that had it are moved within milliseconds; a map taken away
 * before would leave them without any policy.
 */
const lingerMs = 5000;

export interface PolicyOpsDeps {
  /** Map `policies`: policy id → LPM trie. */
  readonly outer: BpfMap;
  readonly policyMaps: Table<ResolvedPolicy>;
  readonly db: Database;
  readonly health: Health;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface PolicyReconciler extends Reconciler {
  /** True once the kernel holds the entries that this revision of the policy has. */
  inForce(policyId: number, revision: number): boolean;
}

/** Keeps the kernel's policies equal to table `policy-maps`. */
export function startPolicyReconciler(deps: PolicyOpsDeps, signal: AbortSignal): PolicyReconciler {
  const { policyMaps, db, health, log, clock = systemClock } = deps;
  const kernel = new KernelPolicies(deps.outer, clock);
  const reconciler = startReconciler<ResolvedPolicy, ResolvedPolicy>({
    name: "policy-maps",
    table: policyMaps,
    db,
    encode: checkSize,
    ops: kernel,
    same: (actual, wanted) => actual.revision === wanted.revision,
    signal,
    health,
    log,
    clock,
  });
  return {
    status: reconciler.status,
    waitUntil: (revision, abort) => reconciler.waitUntil(revision, abort),
    settled: (key, abort) => reconciler.settled(key, abort),
    inForce: (policyId, revision) => kernel.revisionOf(String(policyId)) === revision,
    async [Symbol.asyncDispose]() {
      await reconciler[Symbol.asyncDispose]();
      kernel.close();
    },
  };
}

function checkSize(policy: ResolvedPolicy): ResolvedPolicy {
  const { id, entries } = policy;
  if (entries.length > policyCapacity) {
    const message = `policy ${id} has ${entries.length} entries, more than ${policyCapacity}`;
    throw new WeftError("E_POLICY_TOO_LARGE", message, {
      hint: "let its rules select fewer distinct identities, or write port ranges that are whole blocks of ports",
    });
  }
  return policy;
}

/** The kernel's side: one outer map, an inner one per policy. */
export class KernelPolicies implements ReconcilerOps<ResolvedPolicy> {
  readonly #outer: TypedMap<number, number>;
  readonly #clock: Clock;
  /** What the kernel holds, as last read or written; absent: not known. */
  readonly #held = new Map<string, ResolvedPolicy>();
  readonly #doomed = new Map<string, () => void>();

  constructor(outer: BpfMap, clock: Clock) {
    this.#outer = typedMap(outer, u32Layout, u32Layout);
    this.#clock = clock;
  }

  revisionOf(key: string): number | undefined {
    return this.#held.get(key)?.revision;
  }

  list(): [string, ResolvedPolicy][] {
    this.#held.clear();
    for (const [id, innerId] of this.#outer.entries()) {
      using inner = BpfMap.openId(innerId);
      this.#held.set(String(id), readPolicy(id, inner));
    }
    return [...this.#held];
  }

  update(batch: ReadonlyMap<string, ResolvedPolicy>) {
    return eachEntry(batch, (policy) => {
      const key = String(policy.id);
      this.#doomed.get(key)?.();
      this.#doomed.delete(key);
      const before = this.#held.get(key);
      if (before?.revision !== policy.revision) {
        this.#held.delete(key);
        if (!before || !this.#change(before, policy)) this.#replace(policy);
      }
      this.#held.set(key, policy);
    });
  }

  delete(batch: ReadonlyMap<string, ResolvedPolicy>): undefined {
    for (const key of batch.keys()) {
      if (this.#doomed.has(key)) continue;
      this.#doomed.set(
        key,
        this.#clock.after(lingerMs, () => this.#remove(key)),
      );
    }
  }

  /** What lingers stays in the kernel; the next agent finds that nobody wants it. */
  close(): void {
    for (const cancel of this.#doomed.values()) cancel();
    this.#doomed.clear();
  }

  #remove(key: string): void {
    this.#doomed.get(key)?.();
    this.#doomed.delete(key);
    this.#held.delete(key);
    this.#outer.delete(Number(key));
  }

  /** Writes the differences where packets look, if that is one step for each of them; false when it is not. */
  #change(before: ResolvedPolicy, after: ResolvedPolicy): boolean {
    const steps = before.revision === 0 ? undefined : inPlace(before, after);
    const innerId = steps && this.#outer.get(after.id);
    if (!steps || innerId === undefined) return false;
    using inner = BpfMap.openId(innerId);
    const map = typedMap(inner, policyKeyLayout, policyEntryLayout);
    const say = (revision: number) => {
      const { key, value } = selfElementOf({ ...after, revision });
      map.set(key, value);
    };
    say(0);
    if (steps.put.length > 0)
      map.setMany(steps.put.map(elementOf).map(({ key, value }) => [key, value] as const));
    for (const entry of steps.gone) map.delete(elementOf(entry).key);
    say(after.revision);
    return true;
  }

  /** A new map beside the old one, swapped in by one write. */
  #replace(policy: ResolvedPolicy): void {
    using inner = createPolicyMap();
    const map = typedMap(inner, policyKeyLayout, policyEntryLayout);
    const elements = [...policy.entries.map(elementOf), selfElementOf(policy)];
    map.setMany(elements.map(({ key, value }) => [key, value] as const));
    try {
      this.#outer.set(policy.id, inner.fd.number);
    } catch (error) {
      // Full: what lingers makes room before its time.
      if (!hasErrno(error, "E2BIG") || this.#doomed.size === 0) throw error;
      for (const key of this.#doomed.keys()) this.#remove(key);
      this.#outer.set(policy.id, inner.fd.number);
    }
  }
}

function createPolicyMap(): BpfMap {
  return BpfMap.create({
    name: "policy",
    type: MapType.lpmTrie,
    keySize: policyKeyLayout.size,
    valueSize: policyEntryLayout.size,
    maxEntries: mapSize,
    flags: MapFlag.noPrealloc,
  });
}

/** Revision 0: the map is not what it says of itself, or says nothing. */
function readPolicy(id: number, inner: BpfMap): ResolvedPolicy {
  const map = typedMap(inner, policyKeyLayout, policyEntryLayout);
  const elements = Array.from(map.entries(), ([key, value]) => ({ key, value }));
  const entries = elements
    .filter((element) => !isSelfElement(element))
    .map(entryOf)
    .sort(compareEntries);
  const element = elements.find(isSelfElement);
  const self = element ? selfOf(element) : { revision: 0, enforceIngress: false, enforceEgress: false };
  const whole = self.revision === revisionOf(entries, self.enforceIngress, self.enforceEgress);
  return { id, ...self, revision: whole ? self.revision : 0, entries };
}

/** What the kernel holds, policy by policy: for `weft bpf policy list`. */
export function readPolicies(outer: BpfMap): Map<number, PolicyEntry[]> {
  const found = new Map<number, PolicyEntry[]>();
  for (const [id, innerId] of typedMap(outer, u32Layout, u32Layout).entries()) {
    using inner = BpfMap.openId(innerId);
    found.set(id, [...readPolicy(id, inner).entries]);
  }
  return found;
}
