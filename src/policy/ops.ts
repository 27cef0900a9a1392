// SPDX-License-Identifier: Apache-2.0
import { policyEntryLayout } from "#datapath/layouts/policy-entry.ts";
import { policyKeyLayout } from "#datapath/layouts/policy-key.ts";
import { eachEntry } from "#datapath/map-ops.ts";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { type TypedMap, typedMap, u32Layout } from "#kernel/bpf/typed-map.ts";
import { type Clock, systemClock } from "#lib/clock.ts";
import { WeftError } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type Reconciler, type ReconcilerOps, startReconciler } from "#store/reconciler.ts";
import type { Database, Table } from "#store/table.ts";
import { elementOf, entryOf } from "./entries.ts";
import { compareEntries, differences, revisionOf } from "./revision.ts";
import type { PolicyEntry, ResolvedPolicy } from "./rule.ts";

/** Entries a policy may have; one of more is refused before it is in force. A trie only takes what it holds. */
export const policyCapacity = 131_072;

/**
 * How long a policy that nobody wants stays in the kernel. The endpoints that had it are moved within milliseconds; a map taken away
 * before would leave them without any policy.
 */
const lingerMs = 5000;

/** The content of one policy map. */
export interface PolicyImage {
  /** Sorted: see `compareEntries`. */
  readonly entries: readonly PolicyEntry[];
  readonly digest: number;
}

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
  const images = new WeakMap<ResolvedPolicy, PolicyImage>();
  const encode = (row: ResolvedPolicy): PolicyImage => {
    let image = images.get(row);
    if (!image) {
      image = imageOfPolicy(row);
      images.set(row, image);
    }
    return image;
  };
  const reconciler = startReconciler<ResolvedPolicy, PolicyImage>({
    name: "policy-maps",
    table: policyMaps,
    db,
    encode,
    ops: kernel,
    same: (actual, wanted) => actual.digest === wanted.digest,
    signal,
    health,
    log,
    clock,
  });
  return {
    status: reconciler.status,
    waitUntil: (revision, abort) => reconciler.waitUntil(revision, abort),
    settled: (key, abort) => reconciler.settled(key, abort),
    inForce: (policyId, revision) => {
      const row = policyMaps.get(String(policyId));
      return row?.revision === revision && kernel.digestOf(String(policyId)) === encode(row).digest;
    },
    async [Symbol.asyncDispose]() {
      await reconciler[Symbol.asyncDispose]();
      kernel.close();
    },
  };
}

function imageOfPolicy({ id, entries }: ResolvedPolicy): PolicyImage {
  if (entries.length > policyCapacity) {
    const message = `policy ${id} has ${entries.length} entries, more than ${policyCapacity}`;
    throw new WeftError("E_POLICY_TOO_LARGE", message, {
      hint: "let its rules select fewer distinct identities, or write port ranges that are whole blocks of ports",
    });
  }
  return imageOf(entries);
}

function imageOf(entries: readonly PolicyEntry[]): PolicyImage {
  return { entries, digest: revisionOf(entries, false, false) };
}

/** The kernel's side: one outer map, an inner one per policy. */
export class KernelPolicies implements ReconcilerOps<PolicyImage> {
  readonly #outer: TypedMap<number, number>;
  readonly #clock: Clock;
  readonly #images = new Map<string, PolicyImage>();
  readonly #doomed = new Map<string, () => void>();

  constructor(outer: BpfMap, clock: Clock) {
    this.#outer = typedMap(outer, u32Layout, u32Layout);
    this.#clock = clock;
  }

  digestOf(key: string): number | undefined {
    return this.#images.get(key)?.digest;
  }

  list(): [string, PolicyImage][] {
    this.#images.clear();
    for (const [id, innerId] of this.#outer.entries()) {
      using inner = BpfMap.openId(innerId);
      this.#images.set(String(id), imageOf(entriesOf(inner).sort(compareEntries)));
    }
    return [...this.#images];
  }

  update(batch: ReadonlyMap<string, PolicyImage>) {
    const named = new Map([...batch].map(([key, image]) => [key, { key, image }]));
    return eachEntry(named, ({ key, image }) => {
      this.#doomed.get(key)?.();
      this.#doomed.delete(key);
      const before = this.#images.get(key);
      this.#images.delete(key);
      if (before?.digest !== image.digest && !(before && this.#change(Number(key), before, image))) {
        this.#replace(Number(key), image);
      }
      this.#images.set(key, image);
    });
  }

  delete(batch: ReadonlyMap<string, PolicyImage>): undefined {
    for (const key of batch.keys()) {
      if (this.#doomed.has(key)) continue;
      const cancel = this.#clock.after(lingerMs, () => {
        this.#doomed.delete(key);
        this.#images.delete(key);
        this.#outer.delete(Number(key));
      });
      this.#doomed.set(key, cancel);
    }
  }

  /** What lingers stays in the kernel; the next agent finds that nobody wants it. */
  close(): void {
    for (const cancel of this.#doomed.values()) cancel();
    this.#doomed.clear();
  }

  /** A difference of one element is written in place: that is one step for a packet. False when there are more. */
  #change(id: number, before: PolicyImage, after: PolicyImage): boolean {
    const { put, gone } = differences(before.entries, after.entries);
    if (put.length + gone.length > 1) return false;
    const innerId = this.#outer.get(id);
    if (innerId === undefined) return false;
    using inner = BpfMap.openId(innerId);
    const map = typedMap(inner, policyKeyLayout, policyEntryLayout);
    for (const entry of put) map.set(elementOf(entry).key, elementOf(entry).value);
    for (const entry of gone) map.delete(elementOf(entry).key);
    return true;
  }

  /** More differences: a new map beside the old one, swapped in by one write. */
  #replace(id: number, image: PolicyImage): void {
    using inner = createPolicyMap();
    const map = typedMap(inner, policyKeyLayout, policyEntryLayout);
    map.setMany(image.entries.map(elementOf).map(({ key, value }) => [key, value] as const));
    this.#outer.set(id, inner.fd.number);
  }
}

function createPolicyMap(): BpfMap {
  return BpfMap.create({
    name: "policy",
    type: MapType.lpmTrie,
    keySize: policyKeyLayout.size,
    valueSize: policyEntryLayout.size,
    maxEntries: policyCapacity,
    flags: MapFlag.noPrealloc,
  });
}

function entriesOf(inner: BpfMap): PolicyEntry[] {
  const map = typedMap(inner, policyKeyLayout, policyEntryLayout);
  return Array.from(map.entries(), ([key, value]) => entryOf({ key, value }));
}

/** What the kernel holds, policy by policy: for `weft bpf policy list`. */
export function readPolicies(outer: BpfMap): Map<number, PolicyEntry[]> {
  const found = new Map<number, PolicyEntry[]>();
  for (const [id, innerId] of typedMap(outer, u32Layout, u32Layout).entries()) {
    using inner = BpfMap.openId(innerId);
    found.set(id, entriesOf(inner).sort(compareEntries));
  }
  return found;
}
