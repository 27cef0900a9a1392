// SPDX-License-Identifier: Apache-2.0
import { LbFlag } from "#datapath/layouts/enums.ts";
import { WeftError } from "#lib/errors.ts";
import type { Prefix } from "#model/ip.ts";
import { type TableShare, tableSignature } from "#services/maglev.ts";
import { type Frontend, type FrontendType, type Tuple, tupleText } from "#services/service.ts";

/** What the maps are to say of a frontend; numbers are given when it is written. */
export interface FrontendEntry extends Tuple {
  readonly scope?: "local";
  /** enum lb_flag */
  readonly flags: number;
  readonly affinitySec: number;
  /** Who may ask; empty: everybody. */
  readonly sourceRanges: ReadonlySet<Prefix>;
  /** Each once. Slots 1..count, in any order. */
  readonly backends: readonly BackendEntry[];
  /** Slots above count: kept, never chosen. So an agent that comes back finds in the maps whom they belonged to. None of the above. */
  readonly draining: readonly BackendEntry[];
  /** How new connections are spread; absent: any backend is as likely as another. */
  readonly table?: TableEntry;
  /** Absent in an entry read back: maps know no names. */
  readonly service?: { readonly namespace: string; readonly name: string; readonly portName: string };
}

/** A frontend's table of backends. */
export interface TableEntry {
  readonly size: number;
  /** Names what it is made of. */
  readonly signature: bigint;
  /** By key of the backend. Absent in an entry read back. */
  readonly shares?: readonly TableShare[];
}

export interface BackendEntry extends Tuple {
  readonly terminating: boolean;
}

const typeFlags: Readonly<Record<FrontendType, number>> = {
  ClusterIP: LbFlag.clusterIp,
  NodePort: LbFlag.nodeport,
  LoadBalancer: LbFlag.external,
  ExternalIP: LbFlag.external,
  HostPort: LbFlag.nodeport,
  LocalRedirect: LbFlag.clusterIp,
};

function flagsOf(row: Frontend): number {
  const flag = (on: unknown, value: number) => (on ? value : 0);
  return (
    (row.hostOnly ? LbFlag.hostOnly : typeFlags[row.type]) |
    flag(row.affinitySec, LbFlag.affinity) |
    flag(row.localOutside, LbFlag.localOutside) |
    flag(row.algorithm === "maglev", LbFlag.hashed) |
    flag(row.dsr, LbFlag.dsr) |
    flag(row.elsewhere, LbFlag.elsewhere) |
    flag(row.denyRanges, LbFlag.denyRanges) |
    flag(row.passDenied, LbFlag.passDenied) |
    flag(row.sourceRanges, LbFlag.sourceRanges)
  );
}

/** Places of a table, where no setting says another number. */
const defaultTableSize = 16_381;

/** @throws WeftError E_SERVICE for more backends than a count can say */
export function frontendEntry(row: Frontend, tableSize: number = defaultTableSize): FrontendEntry {
  const { namespace, name, portName, address, port, proto, scope, affinitySec = 0 } = row;
  const backends = eachOnce(row.backends);
  if (backends.length > 0xffff) {
    throw new WeftError(
      "E_SERVICE",
      `Service ${namespace}/${name}: ${backends.length} backends, at most 65535 fit`,
    );
  }
  const table = tableOf(row, tableSize);
  return {
    address,
    port,
    proto,
    ...(scope && { scope }),
    ...(table && { table }),
    flags: flagsOf(row),
    affinitySec,
    sourceRanges: row.sourceRanges ? new Set(row.sourceRanges) : noRanges,
    backends,
    draining: row.draining ? drainingOf(row.draining, backends) : none,
    service: { namespace, name, portName },
  };
}

/** Most frontends have none of these: they need not each have an empty set of their own. */
const noRanges: FrontendEntry["sourceRanges"] = new Set();
const none: readonly BackendEntry[] = [];

/** The list itself where it is sorted by address, as those of Services are. */
function eachOnce(list: readonly BackendEntry[]): readonly BackendEntry[] {
  for (let i = 1; i < list.length; i++)
    if (!(list[i - 1]!.address < list[i]!.address)) return [...byTuple(list).values()];
  return list;
}

function byTuple(list: readonly BackendEntry[]): Map<string, BackendEntry> {
  return new Map(list.map((backend) => [tupleText(backend), backend]));
}

function drainingOf(list: readonly BackendEntry[], backends: readonly BackendEntry[]): BackendEntry[] {
  const active = byTuple(backends);
  return [...byTuple(list)].filter(([key]) => !active.has(key)).map(([, backend]) => backend);
}

/** Whether new connections are spread by a table: a hash needs one, and weights that differ. */
export function hasTable({ backends, algorithm }: Pick<Frontend, "backends" | "algorithm">): boolean {
  const [first] = backends;
  if (first === undefined) return false;
  return algorithm === "maglev" || !backends.every(({ weight = 1 }) => weight === (first.weight ?? 1));
}

/** One larger than the backends are many; else chance has to do. */
function tableOf(row: Frontend, size: number): TableEntry | undefined {
  const { backends } = row;
  if (backends.length > size || !hasTable(row)) return undefined;
  const shares = backends.map((backend) => ({ key: tupleText(backend), weight: backend.weight || 1 }));
  return { size, signature: tableSignature(shares, size), shares };
}

/** True when nothing has to be written for the wanted entry, whatever order its slots are in. */
export function sameEntry(actual: FrontendEntry, wanted: FrontendEntry): boolean {
  return (
    actual.flags === wanted.flags &&
    actual.affinitySec === wanted.affinitySec &&
    actual.table?.size === wanted.table?.size &&
    actual.table?.signature === wanted.table?.signature &&
    actual.service?.name === wanted.service?.name &&
    actual.service?.namespace === wanted.service?.namespace &&
    actual.service?.portName === wanted.service?.portName &&
    sameSet(actual.sourceRanges, wanted.sourceRanges) &&
    sameBackends(actual.backends, wanted.backends) &&
    sameBackends(actual.draining, wanted.draining)
  );
}

function sameSet<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  return a.size === b.size && a.isSubsetOf(b);
}

function sameBackends(a: readonly BackendEntry[], b: readonly BackendEntry[]): boolean {
  if (a.length !== b.length) return false;
  if (a.every((backend, at) => sameBackend(backend, b[at]!))) return true;
  const others = byTuple(b);
  return a.every((backend) => others.get(tupleText(backend))?.terminating === backend.terminating);
}

function sameBackend(a: BackendEntry, b: BackendEntry): boolean {
  return (
    a.address === b.address && a.port === b.port && a.proto === b.proto && a.terminating === b.terminating
  );
}

/**
 * Puts ids into slots so that as few as possible change: who is there and stays in range keeps its place, the gaps are
 * filled by those beyond the end, then by new ones. The result has exactly the wanted ids, which are each there once.
 */
export function arrangeSlots(before: readonly number[], wanted: readonly number[]): readonly number[] {
  if (before.length === 0) return wanted;
  const slots: (number | undefined)[] = new Array(wanted.length).fill(undefined);
  const left = new Set(wanted);
  for (let at = 0; at < slots.length; at++) {
    const id = before[at];
    if (id !== undefined && left.delete(id)) slots[at] = id;
  }
  const movers = [...before.slice(slots.length).filter((id) => left.delete(id)), ...left];
  let next = 0;
  return slots.map((id) => id ?? movers[next++]!);
}
