// SPDX-License-Identifier: Apache-2.0

/**
 * 32-bit FNV-1a with a final avalanche (Fowler, Noll, Vo; finaliser of MurmurHash3). Not for secrets: for numbers that must come out the
 * same on every node and after every restart.
 */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
