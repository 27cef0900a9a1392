// SPDX-License-Identifier: Apache-2.0
import type { LbBackend } from "#datapath/layouts/lb-backend.ts";
import type { LbBackendKey } from "#datapath/layouts/lb-backend-key.ts";
import { hasErrno } from "#kernel/errno.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { readMaps } from "#services/adopt.ts";
import { BackendIds, type KnownBackend } from "#services/backend-ids.ts";
import { type FrontendEntry, frontendEntry, sameEntry } from "#services/entries.ts";
import { type EntryMap, type ServiceMaps, toBackend, toFrontendKey } from "#services/maps.ts";
import {
  abandon,
  type KnownFrontend,
  newFrontend,
  type Plan,
  planFrontend,
  rangeKeys,
  Writes,
} from "#services/plan.ts";
import type { Frontend } from "#services/service.ts";
import { SharedTables } from "#services/shared-tables.ts";
import { rowKeys, rowsOf } from "#services/slot-rows.ts";
import type { FrontendId } from "#services/table.ts";
import { type Failures, type Reconciler, type ReconcilerOps, startReconciler } from "#store/reconciler.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";

export interface ServiceReconcilerDeps {
  readonly db: Database;
  readonly frontends: Table<Frontend>;
  /** Written: the number of each frontend, for those who meet it in events and conntrack. */
  readonly frontendIds: WritableTable<FrontendId>;
  readonly maps: ServiceMaps;
  /** Numbers up to it count as given before; see {@link idsBeforeNow}. */
  readonly lastId?: number;
  /** Places of a table for hashed or weighted choice. */
  readonly tableSize?: number;
  readonly health: Health;
  readonly log: Logger;
}

type ServiceOpsDeps = Pick<ServiceReconcilerDeps, "db" | "frontendIds" | "maps" | "lastId" | "log">;

/** More than any node makes in a second, for long. */
const idsPerSecond = 64;

/**
 * Where an agent that starts goes on with numbers of frontends and backends, so that none is given again of those an agent before it gave
 * and took back: connections remember theirs for hours, and would be led to whoever has it now. Counted from the machine's start, as the
 * maps live no longer; after two years it begins anew.
 */
export function idsBeforeNow(sinceBootNs = process.hrtime.bigint()): number {
  return Number(((sinceBootNs / 1_000_000_000n) * BigInt(idsPerSecond)) & 0xffff_ffffn);
}

/** Keeps the load balancer's maps equal to the frontends. */
export function startServiceReconciler(deps: ServiceReconcilerDeps, signal: AbortSignal): Reconciler {
  const { db, frontends, health, log } = deps;
  const source = deps.frontendIds.source("services");
  const reconciler = startReconciler({
    name: "frontends",
    kernelIsNewer: true,
    table: frontends,
    db,
    encode: (row) => frontendEntry(row, deps.tableSize),
    same: sameEntry,
    ops: new ServiceOps(deps),
    signal,
    health,
    log,
  });
  const known = async () => {
    await frontends.ready;
    await reconciler.waitUntil(frontends.revision);
    source.synced();
  };
  known().catch((thrown: unknown) => log.debug({ err: thrown }, "stopped before the frontends were written"));
  return reconciler;
}

/**
 * The order of writes: backends, reverse, source ranges, slots in use, tables, frontend (with its count), slots beyond, and only then what nobody
 * refers to is taken away. So a packet at any moment finds a slot that points to a backend. Numbers are read back from
 * the maps at start; what is right there already is not written.
 */
export class ServiceOps implements ReconcilerOps<FrontendEntry> {
  readonly #deps: ServiceOpsDeps;
  #frontends = new Map<string, KnownFrontend>();
  #backends: BackendIds;
  #tables: SharedTables;
  #lastId: number;
  /** Backends that are still to be deleted from the map. */
  #dead: number[] = [];

  constructor(deps: ServiceOpsDeps) {
    this.#deps = deps;
    this.#lastId = deps.lastId ?? 0;
    this.#backends = new BackendIds(deps.lastId);
    this.#tables = new SharedTables(deps.maps.tables);
  }

  /** Reads all maps. What nothing refers to (left by a writer that died) is deleted: no packet can meet it. */
  list(): Map<string, FrontendEntry> {
    const read = readMaps(this.#deps.maps, this.#backends.last);
    this.#frontends = new Map([...read.frontends].map(([name, { known }]) => [name, known]));
    this.#backends = read.backends;
    this.#tables = read.tables;
    this.#dead = [];
    for (const { known } of read.frontends.values()) this.#lastId = Math.max(this.#lastId, known.id);
    return new Map([...read.frontends].map(([name, { entry }]) => [name, entry]));
  }

  update(batch: ReadonlyMap<string, FrontendEntry>): Failures {
    const failures = new Map<string, unknown>();
    if (!this.#tryAll(batch)) {
      // One of many was refused. One by one the others get through, and the error finds its frontend.
      for (const [name, entry] of batch) {
        const error = this.#tryOne(name, entry);
        if (error !== undefined) failures.set(name, error);
      }
    }
    this.#register(batch, failures);
    return failures;
  }

  delete(batch: ReadonlyMap<string, FrontendEntry>): Failures {
    const { maps, db, frontendIds } = this.#deps;
    const gone = [...batch.keys()].flatMap((name) => this.#frontends.get(name) ?? []);
    maps.frontends.deleteMany([...batch.values()].map(toFrontendKey));
    maps.slots.deleteMany(gone.flatMap(({ id, maxSlots }) => rowKeys(id, { rows: rowsOf(maxSlots) })));
    maps.reverse.deleteMany(gone.map(({ id }) => ({ frontend: id })));
    deleteMany(
      maps.sourceRanges,
      gone.flatMap(({ id, ranges }) => rangeKeys(id, ranges)),
    );
    this.#tables.release(gone.flatMap(({ tables }) => tables));
    this.#sweepTables();
    for (const name of batch.keys()) this.#frontends.delete(name);
    for (const { held } of gone) this.#letGo(held);
    this.#deleteDead();
    db.write((tx) => {
      for (const { id } of gone) tx.delete(frontendIds, String(id));
    });
    return undefined;
  }

  #tryAll(batch: ReadonlyMap<string, FrontendEntry>): boolean {
    return this.#try(batch) === undefined;
  }

  #tryOne(name: string, entry: FrontendEntry): unknown {
    const thrown = this.#try([[name, entry]]);
    if (!hasErrno(thrown, "E2BIG")) return thrown;
    return new WeftError("E_MAP_FULL", "the load balancer has no room left", { cause: thrown });
  }

  /** @returns what was thrown */
  #try(batch: Iterable<readonly [string, FrontendEntry]>): unknown {
    const writes = new Writes();
    const plans: Plan[] = [];
    for (const [name, entry] of batch) plans.push(this.#plan(name, entry, writes));
    try {
      this.#writeBackends(plans);
    } catch (thrown) {
      // Nothing refers to the new ones yet: they make room for others.
      for (const { held } of plans) this.#letGo(held);
      this.#deleteDead();
      return thrown;
    }
    try {
      this.#write(plans, writes);
    } catch (thrown) {
      for (const plan of plans) {
        abandon(plan);
        this.#tables.hold(plan.tables);
      }
      return thrown;
    }
    this.#commit(plans);
    return undefined;
  }

  #plan(name: string, entry: FrontendEntry, writes: Writes): Plan {
    let known = this.#frontends.get(name);
    if (!known) {
      known = newFrontend(this.#freeId());
      this.#frontends.set(name, known);
    }
    const hold = (list: FrontendEntry["backends"]) => list.map((backend) => this.#backends.hold(backend));
    const backends = { active: hold(entry.backends), draining: hold(entry.draining) };
    return planFrontend(entry, known, backends, writes);
  }

  #writeBackends(plans: readonly Plan[]): void {
    const missing: KnownBackend[] = [];
    for (const { held } of plans) {
      for (const backend of held) {
        if (backend.written) continue;
        // Of several that hold it, the first writes it.
        backend.written = true;
        missing.push(backend);
      }
    }
    const entries = missing.map(({ id, tuple, terminating }): [LbBackendKey, LbBackend] => [
      { id },
      toBackend(tuple, terminating),
    ]);
    try {
      setMany(this.#deps.maps.backends, entries);
    } catch (thrown) {
      for (const backend of missing) backend.written = false;
      throw thrown;
    }
  }

  #write(plans: readonly Plan[], writes: Writes): void {
    const { maps } = this.#deps;
    setMany(maps.reverse, writes.reverse);
    setMany(maps.sourceRanges, writes.ranges);
    setMany(maps.slots, writes.rowsInUse);
    for (const { table } of plans) if (table) this.#tables.write(table.signature, table.numbers);
    setMany(maps.frontends, writes.frontends);
    setMany(maps.slots, writes.rowsBeyond);
    deleteMany(maps.slots, writes.rowsGone);
    deleteMany(maps.sourceRanges, writes.rangesGone);
  }

  #commit(plans: readonly Plan[]): void {
    const released: (readonly KnownBackend[])[] = [];
    for (const { known, next, held, tables } of plans) {
      released.push(known.held);
      this.#tables.hold(tables);
      this.#tables.release(known.tables);
      Object.assign(known, next, { held, tables, maxSlots: next.slots.length, doubtful: false });
    }
    this.#sweepTables();
    for (const backends of released) this.#letGo(backends);
    this.#deleteDead();
  }

  #sweepTables(): void {
    try {
      this.#tables.sweep();
    } catch (thrown) {
      this.#deps.log.warn({ err: errorText(thrown) }, "cannot delete a table of backends from the map");
    }
  }

  #letGo(backends: readonly KnownBackend[]): void {
    for (const backend of backends) if (this.#backends.release(backend)) this.#dead.push(backend.id);
  }

  /** A deletion that fails leaves what no packet can meet: it is tried again with the next one. */
  #deleteDead(): void {
    if (this.#dead.length === 0) return;
    try {
      this.#deps.maps.backends.deleteMany(this.#dead.map((id) => ({ id })));
      this.#dead = [];
    } catch (thrown) {
      this.#deps.log.warn(
        { err: errorText(thrown), backends: this.#dead.length },
        "cannot delete backends from the map",
      );
    }
  }

  #register(batch: ReadonlyMap<string, FrontendEntry>, failures: ReadonlyMap<string, unknown>): void {
    const { db, frontendIds } = this.#deps;
    db.write((tx) => {
      for (const [name, { service }] of batch) {
        const known = this.#frontends.get(name);
        if (known && service && !failures.has(name))
          tx.put(frontendIds, { id: known.id, frontend: name, ...service });
      }
    });
  }

  #freeId(): number {
    const used = new Set<number>();
    if (this.#lastId >= 0xffff_ffff) for (const { id } of this.#frontends.values()) used.add(id);
    do {
      this.#lastId = this.#lastId >= 0xffff_ffff ? 1 : this.#lastId + 1;
    } while (used.has(this.#lastId));
    return this.#lastId;
  }
}

/** A write without elements is no system call, and in tests no write. */
function setMany<K, V>(map: EntryMap<K, V>, entries: readonly (readonly [K, V])[]): void {
  if (entries.length > 0) map.setMany(entries);
}

function deleteMany<K, V>(map: EntryMap<K, V>, keys: readonly K[]): void {
  if (keys.length > 0) map.deleteMany(keys);
}
