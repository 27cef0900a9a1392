// SPDX-License-Identifier: Apache-2.0
/** Mappings of translated sources, as the programs keep them: `bpf/lib/nat-set.h` and `nat-table.h`. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { viewOf } from "#kernel/bpf/elf.ts";
import { MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { u32Layout } from "#kernel/bpf/typed-map.ts";
import { hasErrno } from "#kernel/errno.ts";
import { NatDirection, NatShape } from "./layouts/enums.ts";
import { type NatEntry, natEntryLayout } from "./layouts/nat-entry.ts";
import { type NatKey, NatKeyOffset, natKeyLayout } from "./layouts/nat-key.ts";

/**
 * For who knows the seed. A write of a set is not one step to programs that take a place in it just then: theirs may be
 * lost, and the connection's next packet makes it again.
 */
export interface NatTable {
  entries(): Generator<readonly [NatKey, NatEntry]>;
  get(key: NatKey): NatEntry | undefined;
  /** In the key's place, or a free one, or the one not used for longest. */
  set(key: NatKey, entry: NatEntry): void;
  /** True when the key was there. */
  delete(key: NatKey): boolean;
}

const placeBytes = natKeyLayout.size + natEntryLayout.size;

function tagAt(set: DataView, way: number): number {
  return set.getUint16(NatShape.tagsAt + 2 * way, true);
}

/** Everything in the map `nat_sets`. */
export function* mappings(sets: BpfMap): Generator<readonly [NatKey, NatEntry]> {
  for (const [, bytes] of sets.entries()) {
    const set = viewOf(bytes);
    for (let way = 0; way < NatShape.ways; way++) {
      if (tagAt(set, way) === 0) continue;
      const at = NatShape.placesAt + placeBytes * way;
      yield [natKeyLayout.read(set, at), natEntryLayout.read(set, at + natKeyLayout.size)] as const;
    }
  }
}

/** As `nat_hash` and `nat_index` of nat-table.h, which read ports as they stand. */
function whereIs(key: Uint8Array, seed: bigint): { readonly index: number; readonly tag: number } {
  const view = viewOf(key);
  const isReply = view.getUint8(NatKeyOffset.reply) === NatDirection.reply;
  const words = [0, 8, 16, 24].map((at) => view.getBigUint64(at, true));
  const [sport, dport] = [view.getUint16(NatKeyOffset.sport, true), view.getUint16(NatKeyOffset.dport, true)];
  const low =
    (isReply ? 0 : dport * 65_536) +
    view.getUint8(NatKeyOffset.reply) * 256 +
    view.getUint8(NatKeyOffset.proto);
  words.push((BigInt(sport) << 32n) | BigInt(low));
  let hash = seed;
  for (const word of words) {
    hash = BigInt.asUintN(64, (hash ^ word) * 0x9e37_79b9_7f4a_7c15n);
    hash ^= hash >> 32n;
  }
  const port = isReply ? view.getUint16(NatKeyOffset.dport, false) : 0;
  return { index: Number((hash + BigInt(port)) % BigInt(NatShape.sets)), tag: Number(hash >> 48n) | 1 };
}

export function natTable(sets: BpfMap, seed: bigint): NatTable {
  const key = new Uint8Array(natKeyLayout.size);
  const index = new Uint8Array(u32Layout.size);
  /** The key's set, and its way there; -1: it has none. */
  const find = (of: NatKey) => {
    natKeyLayout.write(viewOf(key), 0, of);
    const { index: number, tag } = whereIs(key, seed);
    u32Layout.write(viewOf(index), 0, number);
    const bytes = sets.lookup(index)!.slice();
    const set = viewOf(bytes);
    const keyAt = (way: number) =>
      bytes.subarray(NatShape.placesAt + placeBytes * way).subarray(0, key.length);
    const ways = Array.from({ length: NatShape.ways }, (_, way) => way);
    const way = ways.findIndex((w) => tagAt(set, w) === tag && Buffer.compare(keyAt(w), key) === 0);
    return { bytes, set, tag, way };
  };
  const entryAt = (way: number) => NatShape.placesAt + placeBytes * way + natKeyLayout.size;
  return {
    entries: () => mappings(sets),
    get(of) {
      const { set, way } = find(of);
      return way < 0 ? undefined : natEntryLayout.read(set, entryAt(way));
    },
    set(of, entry) {
      const { bytes, set, tag, way: own } = find(of);
      const way = own < 0 ? oldest(set) : own;
      bytes.set(key, entryAt(way) - key.length);
      natEntryLayout.write(set, entryAt(way), entry);
      set.setUint16(NatShape.tagsAt + 2 * way, tag, true);
      set.setUint32(NatShape.usedAt + 4 * way, nowSec(), true);
      sets.update(index, bytes);
    },
    delete(of) {
      const { bytes, set, way } = find(of);
      if (way < 0) return false;
      set.setUint16(NatShape.tagsAt + 2 * way, 0, true);
      sets.update(index, bytes);
      return true;
    },
  };
}

function nowSec(): number {
  return Number(process.hrtime.bigint() / 1_000_000_000n);
}

function oldest(set: DataView): number {
  const used = (way: number) => (tagAt(set, way) === 0 ? -1 : set.getUint32(NatShape.usedAt + 4 * way, true));
  let best = 0;
  for (let way = 1; way < NatShape.ways; way++) if (used(way) < used(best)) best = way;
  return best;
}

/** What the hash of mappings begins with: chance, pinned beside the map of them, so the same for as long as that. */
export function natSeed(mapsDir: string): bigint {
  const path = join(mapsDir, "nat_seed");
  using map = openPinned(path) ?? makeSeed(path);
  return viewOf(map.lookup(new Uint8Array(4))!).getBigUint64(0, true);
}

function makeSeed(path: string): BpfMap {
  using undo = new DisposableStack();
  const map = undo.use(
    BpfMap.create({ name: "nat_seed", type: MapType.array, keySize: 4, valueSize: 8, maxEntries: 1 }),
  );
  map.update(new Uint8Array(4), randomBytes(8));
  map.pin(path);
  undo.move();
  return map;
}

/** @returns undefined when nothing is pinned there */
export function openPinned(path: string): BpfMap | undefined {
  try {
    return BpfMap.openPinned(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
