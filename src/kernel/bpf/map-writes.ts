// SPDX-License-Identifier: Apache-2.0

/** Elements written to maps of one name since the process began. */
export interface MapWrites {
  updates: number;
  deletes: number;
}

const writes = new Map<string, MapWrites>();

export function countMapWrites(map: string, kind: keyof MapWrites, elements = 1): void {
  let counts = writes.get(map);
  if (counts === undefined) {
    counts = { updates: 0, deletes: 0 };
    writes.set(map, counts);
  }
  counts[kind] += elements;
}

/** What the kernel has written for this process, map by map; maps of one name (the policies) count together. */
export function mapWrites(): ReadonlyMap<string, Readonly<MapWrites>> {
  return writes;
}
