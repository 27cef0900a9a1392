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
import type { NatEntry } from "./layouts/nat-entry.ts";
import { type NatKey, NatKeyOffset, natKeyLayout } from "./layouts/nat-key.ts";
import { NatSet } from "./nat-set.ts";

/**
 * For who knows the seed. A write of a set is not one step to programs that take a place in it just then: theirs may be
 * lost, and the connection's next packet makes it again.
 */
export interface NatTable {
  entries(): Generator<readonly [NatKey, NatEntry]>;
  get(key: NatKey): NatEntry | undefined;
  /** In the key's place, or a free one of its set or of its neighbours, or the one not used for longest. */
  set(key: NatKey, entry: NatEntry): void;
  /** True when the key was there. */
  delete(key: NatKey): boolean;
}

/** Everything in the map `nat_sets`. */
export function* mappings(sets: BpfMap): Generator<readonly [NatKey, NatEntry]> {
  for (const [index, bytes] of sets.entries()) yield* new NatSet(bytes, index).entries();
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

/** Where a key may be, its own set first: as `nat_neighbour`. */
function indexesOf(own: number, direction: number): readonly number[] {
  if (direction === NatDirection.reply) return [own];
  const { neighbours, sets } = NatShape;
  return Array.from({ length: 1 + neighbours }, (_, number) => own ^ (sets - (sets >> number)));
}

export function natTable(sets: BpfMap, seed: bigint): NatTable {
  const setAt = (number: number): NatSet => {
    const index = new Uint8Array(u32Layout.size);
    u32Layout.write(viewOf(index), 0, number);
    return new NatSet(sets.lookup(index)!.slice(), index);
  };
  /** The sets that may have the key, and the place of it if one has. */
  const find = (of: NatKey) => {
    const key = new Uint8Array(natKeyLayout.size);
    natKeyLayout.write(viewOf(key), 0, of);
    const { index, tag } = whereIs(key, seed);
    const all = indexesOf(index, of.reply).map(setAt);
    const set = (all[0]!.spilled ? all : [all[0]!]).find((set) => set.wayOf(key, tag) >= 0);
    return { key, tag, all, place: set && { set, way: set.wayOf(key, tag) } };
  };
  const write = (set: NatSet) => sets.update(set.index, set.bytes);
  return {
    entries: () => mappings(sets),
    get(of) {
      const { place } = find(of);
      return place?.set.entryAt(place.way);
    },
    set(of, entry) {
      const { key, tag, all, place } = find(of);
      const own = all[0]!;
      const set = place?.set ?? all.find((set) => set.free() >= 0) ?? own;
      if (set !== own && !own.spilled) {
        own.spilled = true;
        write(own);
      }
      set.put(place?.way ?? set.oldest(), { key, tag, entry });
      write(set);
    },
    delete(of) {
      const { place } = find(of);
      if (!place) return false;
      place.set.clear(place.way);
      write(place.set);
      return true;
    },
  };
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
