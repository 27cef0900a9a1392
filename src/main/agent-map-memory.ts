// SPDX-License-Identifier: Apache-2.0
import type { MapFill, TableDump } from "#agent/api.ts";
import { mapDump } from "#agent/maps.ts";
import type { Datapath } from "#datapath/load.ts";
import { mapTypeName } from "#kernel/bpf/kinds.ts";
import type { BpfMap } from "#kernel/bpf/map.ts";
import { innerMemory, mapMemory } from "#kernel/bpf/map-memory.ts";

interface MapRow {
  readonly name: string;
  readonly map: BpfMap;
  /** Of kernel memory, with the maps it holds. */
  readonly bytes: number;
}

/** The datapath's maps, largest first. */
export function mapRows({ maps }: Pick<Datapath, "maps">): MapRow[] {
  return [...maps]
    .map(([name, map]) => ({ name, map, bytes: mapMemory(map) + innerMemory(map) }))
    .sort((a, b) => b.bytes - a.bytes);
}

/** Kernel memory of all of them, bytes. */
export function mapBytes(datapath: Pick<Datapath, "maps">): number {
  return mapRows(datapath).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** `weft bpf maps list`: what each map of the node takes, and how full those are that refuse what does not fit. */
export function mapsDump(datapath: Pick<Datapath, "maps">, fill: () => readonly MapFill[]): () => TableDump {
  const share = (rows: ReadonlyMap<string, MapFill>, name: string) => {
    const found = rows.get(name);
    return found ? `${Math.round((100 * found.entries) / found.maxEntries)} %` : "";
  };
  const rows = function* () {
    const fills = new Map(fill().map((one) => [one.map ?? one.name, one]));
    for (const row of mapRows(datapath)) yield { ...row, full: share(fills, row.name) };
  };
  return mapDump(
    "maps",
    [
      { name: "MAP", of: ({ name }) => name },
      { name: "TYPE", of: ({ map }) => mapTypeName(map.info.type) },
      { name: "ROOM", of: ({ map }) => map.info.maxEntries },
      { name: "FULL", of: ({ full }) => full },
      {
        name: "MEMORY",
        of: ({ bytes }) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`),
      },
      { name: "BYTES", of: ({ bytes }) => bytes, wide: true },
      { name: "KEY", of: ({ map }) => map.info.keySize, wide: true },
      { name: "VALUE", of: ({ map }) => map.info.valueSize, wide: true },
    ],
    rows,
  );
}
