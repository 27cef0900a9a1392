// SPDX-License-Identifier: Apache-2.0
/** Mappings of an agent that had them in a hash table of the kernel's, for the one after it. */
import { join } from "node:path";
import type { BpfMap } from "#kernel/bpf/map.ts";
import { unpin } from "#kernel/bpf/pin.ts";
import { typedMap } from "#kernel/bpf/typed-map.ts";
import { natEntryLayout } from "./layouts/nat-entry.ts";
import { natKeyLayout } from "./layouts/nat-key.ts";
import { type NatTable, openPinned } from "./nat-table.ts";

/** Owns the old map, which stays pinned until the end: an agent that is killed before begins anew. */
export interface FormerMappings extends Disposable {
  /** Takes over what the table does not have, or has as it was earlier; returns how many. */
  takeOver(): number;
  /** Nobody uses the old map any more. */
  end(): void;
}

/** @returns undefined where there was no such agent */
export function formerMappings(mapsDir: string, table: NatTable): FormerMappings | undefined {
  const path = join(mapsDir, "nat");
  const map = openPinned(path);
  if (!map) return undefined;
  return {
    takeOver: () => (isLikeOurs(map) ? takeOver(map, table) : 0),
    end: () => unpin(path),
    [Symbol.dispose]: () => map.close(),
  };
}

function isLikeOurs({ info }: BpfMap): boolean {
  return info.keySize === natKeyLayout.size && info.valueSize === natEntryLayout.size;
}

function takeOver(map: BpfMap, table: NatTable): number {
  let done = 0;
  for (const [key, entry] of typedMap(map, natKeyLayout, natEntryLayout).entries()) {
    const known = table.get(key);
    if (known && known.expiresSec >= entry.expiresSec) continue;
    table.set(key, entry);
    done++;
  }
  return done;
}
