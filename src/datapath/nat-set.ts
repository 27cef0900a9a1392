// SPDX-License-Identifier: Apache-2.0
/** A copy of one set of mappings, in the layout of `bpf/lib/nat-set.h`. */
import { viewOf } from "#kernel/bpf/elf.ts";
import { NatShape } from "./layouts/enums.ts";
import { type NatEntry, natEntryLayout } from "./layouts/nat-entry.ts";
import { type NatKey, natKeyLayout } from "./layouts/nat-key.ts";

const placeBytes = natKeyLayout.size + natEntryLayout.size;

/** A key as its bytes stand, with its tag, and what it leads to. */
export interface Place {
  readonly key: Uint8Array;
  readonly tag: number;
  readonly entry: NatEntry;
}

export class NatSet {
  readonly bytes: Uint8Array;
  /** The key of the map, as its bytes stand. */
  readonly index: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, index: Uint8Array) {
    this.bytes = bytes;
    this.index = index;
    this.#view = viewOf(bytes);
  }

  /** Whether a key of this set may be in a neighbour. */
  get spilled(): boolean {
    return this.#view.getUint32(NatShape.spilledAt, true) !== 0;
  }
  set spilled(spilled: boolean) {
    this.#view.setUint32(NatShape.spilledAt, spilled ? 1 : 0, true);
  }

  /** What is in its places. */
  *entries(): Generator<readonly [NatKey, NatEntry]> {
    for (let way = 0; way < NatShape.ways; way++)
      if (this.#tagAt(way) !== 0)
        yield [natKeyLayout.read(this.#view, keyAt(way)), this.entryAt(way)] as const;
  }

  /** @returns -1 where the key is not in it */
  wayOf(key: Uint8Array, tag: number): number {
    return ways.findIndex((way) => {
      const there = this.bytes.subarray(keyAt(way)).subarray(0, key.length);
      return this.#tagAt(way) === tag && Buffer.compare(there, key) === 0;
    });
  }

  /** @returns -1 where all places are taken */
  free(): number {
    return ways.findIndex((way) => this.#tagAt(way) === 0);
  }

  /** A free place, or the one not used for longest. */
  oldest(): number {
    const used = (way: number) => (this.#tagAt(way) === 0 ? -1 : this.#view.getUint32(usedAt(way), true));
    return ways.reduce((best, way) => (used(way) < used(best) ? way : best));
  }

  entryAt(way: number): NatEntry {
    return natEntryLayout.read(this.#view, keyAt(way) + natKeyLayout.size);
  }

  put(way: number, { key, tag, entry }: Place): void {
    this.bytes.set(key, keyAt(way));
    natEntryLayout.write(this.#view, keyAt(way) + natKeyLayout.size, entry);
    this.#view.setUint16(tagAt(way), tag, true);
    this.#view.setUint32(usedAt(way), nowSec(), true);
  }

  clear(way: number): void {
    this.#view.setUint16(tagAt(way), 0, true);
  }

  #tagAt(way: number): number {
    return this.#view.getUint16(tagAt(way), true);
  }
}

const ways: readonly number[] = Array.from({ length: NatShape.ways }, (_, way) => way);

function tagAt(way: number): number {
  return NatShape.tagsAt + 2 * way;
}

function usedAt(way: number): number {
  return NatShape.usedAt + 4 * way;
}

function keyAt(way: number): number {
  return NatShape.placesAt + placeBytes * way;
}

function nowSec(): number {
  return Number(process.hrtime.bigint() / 1_000_000_000n);
}
