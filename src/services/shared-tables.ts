// SPDX-License-Identifier: Apache-2.0
import type { TableMaps } from "#services/maps.ts";

/**
 * The tables of frontends, one for all that are made of the same backends with the same weights: a service's addresses mostly are. A
 * table stays as long as a frontend holds it; so do the backends it names, for those who hold it hold them too.
 */
export class SharedTables {
  readonly #maps: TableMaps;
  readonly #holders = new Map<bigint, number>();
  /** Those that the map has, as they should be. */
  readonly #sound: Set<bigint>;
  /** Held by nobody any more, but still in the map. */
  #dead = new Set<bigint>();

  /** @param sound what is right in the map already */
  constructor(maps: TableMaps, sound: Iterable<bigint> = []) {
    this.#maps = maps;
    this.#sound = new Set(sound);
  }

  /** Writes a table unless it is there. @param numbers its backends, place by place */
  write(signature: bigint, numbers: () => Uint32Array): void {
    if (this.#sound.has(signature)) return;
    this.#maps.set(signature, numbers());
    this.#sound.add(signature);
  }

  hold(signatures: Iterable<bigint>): void {
    for (const signature of signatures) {
      this.#holders.set(signature, (this.#holders.get(signature) ?? 0) + 1);
      this.#dead.delete(signature);
    }
  }

  release(signatures: Iterable<bigint>): void {
    for (const signature of signatures) {
      const left = (this.#holders.get(signature) ?? 0) - 1;
      if (left > 0) {
        this.#holders.set(signature, left);
        continue;
      }
      this.#holders.delete(signature);
      this.#dead.add(signature);
    }
  }

  /** Deletes those that nobody holds, before their backends go. One that cannot be deleted is tried again next time. */
  sweep(): void {
    for (const signature of this.#dead) {
      this.#sound.delete(signature);
      this.#maps.delete(signature);
      this.#dead.delete(signature);
    }
  }
}
