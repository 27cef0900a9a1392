// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { lbSlotKeyLayout } from "#datapath/layouts/lb-slot-key.ts";
import { lbTableRowLayout } from "#datapath/layouts/lb-table-row.ts";
import { viewOf } from "#kernel/bpf/elf.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { typedMap } from "#kernel/bpf/typed-map.ts";
import { hasErrno } from "#kernel/errno.ts";
import { WeftError } from "#lib/errors.ts";
import { rowsOfSlots } from "#services/slot-rows.ts";

/**
 * Slots that an agent before this one kept one by one: { frontend, slot from 1 } → { backend }, all `__u32`. The kernel's copy of an earlier
 * layout goes field by field and makes no rows of them; without them new connections would find no backend until the cluster's state is read.
 * Read before the map is replaced; none when it has rows, or is not there.
 */
export function readEarlierSlots(mapsDir: string): ReadonlyMap<number, readonly number[]> {
  const found = new Map<number, number[]>();
  using map = openSlots(mapsDir);
  if (map?.info.keySize !== 8 || map.info.valueSize !== 4) return found;
  for (const [key, value] of map.entries()) {
    const [frontend, slot] = [viewOf(key).getUint32(0, true), viewOf(key).getUint32(4, true)];
    const slots = found.get(frontend) ?? [];
    if (slots.length === 0) found.set(frontend, slots);
    if (slot >= 1) slots[slot - 1] = viewOf(value).getUint32(0, true);
  }
  return found;
}

/** Puts them into the map that took its place. */
export function writeEarlierSlots(map: BpfMap, earlier: ReadonlyMap<number, readonly number[]>): void {
  const rows = [...earlier].flatMap(([frontend, slots]) => rowsOfSlots(frontend, slots));
  if (rows.length > 0) typedMap(map, lbSlotKeyLayout, lbTableRowLayout).setMany(rows);
}

function openSlots(mapsDir: string): BpfMap | undefined {
  try {
    return BpfMap.openPinned(join(mapsDir, "lb_slots"));
  } catch (error) {
    // What is no map there is replaced, too.
    if (hasErrno(error, "ENOENT") || (error instanceof WeftError && error.code === "E_BPF_PIN"))
      return undefined;
    throw error;
  }
}
