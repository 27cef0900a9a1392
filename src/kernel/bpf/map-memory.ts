// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { viewOf } from "#kernel/bpf/elf.ts";
import { MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { hasErrno } from "#kernel/errno.ts";

/** What the kernel has allocated for a map now, bytes; of a map of maps without those. */
export function mapMemory(map: BpfMap): number {
  return Number(/^memlock:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${map.fd.number}`, "utf8"))?.[1]);
}

/** The maps a map of maps holds, together; 0 of another map. A map that it holds twice counts once. */
export function innerMemory(map: BpfMap): number {
  if (map.info.type !== MapType.hashOfMaps && map.info.type !== MapType.arrayOfMaps) return 0;
  const ids = new Set<number>();
  for (const [, value] of map.entries()) ids.add(viewOf(value).getUint32(0, true));
  ids.delete(0);
  let bytes = 0;
  for (const id of ids) bytes += memoryOfId(id);
  return bytes;
}

function memoryOfId(id: number): number {
  try {
    using map = BpfMap.openId(id);
    return mapMemory(map);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return 0;
    throw error;
  }
}
