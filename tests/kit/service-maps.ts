// SPDX-License-Identifier: Apache-2.0
import { LbScope } from "#datapath/layouts/enums.ts";
import { lbBackendLayout } from "#datapath/layouts/lb-backend.ts";
import { lbBackendKeyLayout } from "#datapath/layouts/lb-backend-key.ts";
import { lbFrontendLayout } from "#datapath/layouts/lb-frontend.ts";
import { lbFrontendKeyLayout } from "#datapath/layouts/lb-frontend-key.ts";
import { lbReverseLayout } from "#datapath/layouts/lb-reverse.ts";
import { lbReverseKeyLayout } from "#datapath/layouts/lb-reverse-key.ts";
import { lbSlotKeyLayout } from "#datapath/layouts/lb-slot-key.ts";
import { lbSourceRangeLayout } from "#datapath/layouts/lb-source-range.ts";
import { lbSourceRangeKeyLayout } from "#datapath/layouts/lb-source-range-key.ts";
import { lbTableRowLayout } from "#datapath/layouts/lb-table-row.ts";
import { memoryMap } from "#kit/memory-map.ts";
import { fromSourceRangeKey } from "#services/maps.ts";
import { tupleText } from "#services/service.ts";
import { slotsOfRows } from "#services/slot-rows.ts";

/** The load balancer's maps in memory. */
export function memoryServiceMaps() {
  const maps = {
    frontends: memoryMap(lbFrontendKeyLayout, lbFrontendLayout),
    slots: memoryMap(lbSlotKeyLayout, lbTableRowLayout),
    backends: memoryMap(lbBackendKeyLayout, lbBackendLayout),
    reverse: memoryMap(lbReverseKeyLayout, lbReverseLayout),
    sourceRanges: memoryMap(lbSourceRangeKeyLayout, lbSourceRangeLayout),
  };
  const tables = {
    content: new Map<bigint, Uint32Array>(),
    writes: 0,
    onWrite: () => {},
    signatures: () => [...tables.content.keys()],
    set(signature: bigint, backends: Uint32Array) {
      tables.writes++;
      tables.onWrite();
      tables.content.set(signature, backends);
    },
    delete(signature: bigint) {
      if (tables.content.delete(signature)) tables.writes++;
    },
  };
  return {
    ...maps,
    tables,
    /** Elements written since last asked. */
    takeWrites(): number {
      let sum = tables.writes;
      tables.writes = 0;
      for (const map of Object.values(maps)) {
        sum += map.writes;
        map.writes = 0;
      }
      return sum;
    },
    /**
     * `10.96.0.1:80/TCP id=1 flags=4 -> 10.0.0.1:80/TCP 10.0.0.2:80/TCP | 10.0.0.3:80/TCP`: slots in order, those that drain behind the
     * bar. A slot without backend is `?`; what belongs to no frontend has lines of its own.
     */
    dump(): string[] {
      const lines: string[] = [];
      const slots = new Map<string, number>();
      for (const [frontend, list] of slotsOfRows(maps.slots.entries()))
        for (const [at, backend] of list.entries()) if (backend) slots.set(`${frontend}/${at + 1}`, backend);
      const used = new Set<number>();
      const name = (id: number | undefined) => {
        const backend = id === undefined ? undefined : maps.backends.get({ id });
        if (id !== undefined) used.add(id);
        if (!backend?.addr) return "?";
        return (
          tupleText({ address: backend.addr, port: backend.port, proto: backend.proto }) +
          (backend.flags ? "!" : "")
        );
      };
      for (const [key, value] of maps.frontends.entries()) {
        const take = (at: number) => {
          const text = name(slots.get(`${value.id}/${at}`));
          slots.delete(`${value.id}/${at}`);
          return text;
        };
        const active = Array.from({ length: value.count }, (_, at) => take(at + 1));
        const draining: string[] = [];
        for (let at = value.count + 1; slots.has(`${value.id}/${at}`); at++) draining.push(take(at));
        const scope = key.scope === LbScope.local ? "/local" : "";
        const frontend = tupleText({ address: key.addr, port: key.port, proto: key.proto }) + scope;
        const back = maps.reverse.get({ frontend: value.id });
        const reversed = back?.addr === key.addr && back.port === key.port ? "" : " no-reverse";
        const bar = draining.length > 0 ? ` | ${draining.join(" ")}` : "";
        const ranges = [...maps.sourceRanges.entries()]
          .filter(([range]) => range.frontend === value.id)
          .map(([range]) => fromSourceRangeKey(range));
        const from = ranges.length > 0 ? ` from=${ranges.sort().join(",")}` : "";
        lines.push(
          `${frontend} id=${value.id} flags=${value.flags}${value.tableSize ? ` table=${value.tableSize}` : ""}${from}${reversed} -> ${active.join(" ")}${bar}`,
        );
      }
      for (const signature of tables.signatures())
        if (![...maps.frontends.entries()].some(([, value]) => value.table === signature))
          lines.push(`stray table ${signature}`);
      for (const key of slots.keys()) lines.push(`stray slot ${key}`);
      for (const [{ id }] of maps.backends.entries()) if (!used.has(id)) lines.push(`stray backend ${id}`);
      const ids = new Set([...maps.frontends.entries()].map(([, { id }]) => id));
      for (const [range] of maps.sourceRanges.entries())
        if (!ids.has(range.frontend)) lines.push(`stray range of ${range.frontend}`);
      if (maps.reverse.size > maps.frontends.size) lines.push("stray reverse");
      return lines.sort();
    },
  };
}
