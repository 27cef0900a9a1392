// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";

/** Who gets a part of a table. */
export interface TableShare {
  /** Names it the same on every node; what its places follow from. */
  readonly key: string;
  /** How much of the table it gets, relative to the others; above 0. */
  readonly weight: number;
}

/**
 * A look-up table in which each backend has its share of the places, and which changes little when one comes or goes: the same for the same
 * backends on every node, in whatever order they are given. After Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
 * Balancer" (NSDI 2016), section 3.4, with weights: a backend's turns are spread evenly over the rounds.
 *
 * @param size a prime, well above the number of backends: about a hundred times for 1 % of disruption
 * @returns for each place the index into `shares`; empty when there are none
 */
export function maglevTable(shares: readonly TableShare[], size: number): Uint32Array {
  if (shares.length === 0) return new Uint32Array();
  const order = shares.map((_, at) => at).sort((a, b) => (shares[a]!.key < shares[b]!.key ? -1 : 1));
  const heaviest = Math.max(...shares.map(({ weight }) => weight));
  const turns = order.map((at) => {
    const { key, weight } = shares[at]!;
    return {
      at,
      share: weight / heaviest,
      next: hashText(key, 0x6d61_676c) % size,
      skip: (hashText(key, 0x6576_7765) % (size - 1)) + 1,
    };
  });
  const table = new Uint32Array(size);
  const taken = new Uint8Array(size);
  for (let filled = 0, round = 0; ; round++) {
    for (const turn of turns) {
      if (Math.floor((round + 1) * turn.share) === Math.floor(round * turn.share)) continue;
      while (taken[turn.next]) turn.next = (turn.next + turn.skip) % size;
      taken[turn.next] = 1;
      table[turn.next] = turn.at;
      if (++filled === size) return table;
    }
  }
}

/** Names what a table is made of, in 64 bits that nobody can aim at, never 0: equal for equal shares and sizes. */
export function tableSignature(shares: readonly TableShare[], size: number): bigint {
  const lines = shares.map(({ key, weight }) => `${key} ${weight}`).sort();
  const hash = createHash("sha256")
    .update([size, ...lines].join("\n"))
    .digest();
  return hash.readBigUInt64LE() || 1n;
}

/** 32 bits of a text: FNV-1a, and a finish that lets every bit of the text count. */
function hashText(text: string, seed: number): number {
  let hash = 0x811c_9dc5 ^ seed;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x0100_0193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
