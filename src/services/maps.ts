// SPDX-License-Identifier: Apache-2.0
import { LbBackendFlag, LbScope, LbSourceRangeBits, LbTableShape } from "#datapath/layouts/enums.ts";
import type { LbBackend } from "#datapath/layouts/lb-backend.ts";
import { lbBackendLayout } from "#datapath/layouts/lb-backend.ts";
import { type LbBackendKey, lbBackendKeyLayout } from "#datapath/layouts/lb-backend-key.ts";
import { type LbFrontend, lbFrontendLayout } from "#datapath/layouts/lb-frontend.ts";
import { type LbFrontendKey, lbFrontendKeyLayout } from "#datapath/layouts/lb-frontend-key.ts";
import { type LbReverse, lbReverseLayout } from "#datapath/layouts/lb-reverse.ts";
import { type LbReverseKey, lbReverseKeyLayout } from "#datapath/layouts/lb-reverse-key.ts";
import { type LbSlotKey, lbSlotKeyLayout } from "#datapath/layouts/lb-slot-key.ts";
import { type LbSock, lbSockLayout } from "#datapath/layouts/lb-sock.ts";
import { type LbSockKey, lbSockKeyLayout } from "#datapath/layouts/lb-sock-key.ts";
import { type LbSourceRange, lbSourceRangeLayout } from "#datapath/layouts/lb-source-range.ts";
import { type LbSourceRangeKey, lbSourceRangeKeyLayout } from "#datapath/layouts/lb-source-range-key.ts";
import { type LbTableRow, lbTableRowLayout } from "#datapath/layouts/lb-table-row.ts";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { type TypedMap, typedMap, u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { family, type Prefix, prefixAddress, prefixBits128, prefixOf } from "#model/ip.ts";
import type { Frontend, Tuple } from "#services/service.ts";

/** What of a map the load balancer needs; a twin in memory has it too. */
export type EntryMap<K, V> = Pick<TypedMap<K, V>, "entries" | "setMany" | "deleteMany">;

/** The load balancer's maps, `bpf/lib/lb.h`. */
export interface ServiceMaps {
  readonly frontends: EntryMap<LbFrontendKey, LbFrontend>;
  readonly slots: EntryMap<LbSlotKey, LbTableRow>;
  readonly backends: EntryMap<LbBackendKey, LbBackend>;
  readonly reverse: EntryMap<LbReverseKey, LbReverse>;
  readonly sourceRanges: EntryMap<LbSourceRangeKey, LbSourceRange>;
  readonly tables: TableMaps;
}

/** Tables of frontends, by signature. */
export interface TableMaps {
  signatures(): bigint[];
  /** A packet finds the table whole, or none. @param backends their numbers, place by place */
  set(signature: bigint, backends: Uint32Array): void;
  delete(signature: bigint): void;
}

/** @throws WeftError E_BPF_MAP when a layout does not fit */
function tableMaps(outer: BpfMap): TableMaps {
  const bySignature = typedMap(outer, u64Layout, u32Layout);
  return {
    signatures: () => [...bySignature.entries()].map(([signature]) => signature),
    set(signature, backends) {
      using inner = BpfMap.create({
        name: "lb_table",
        type: MapType.array,
        keySize: u32Layout.size,
        valueSize: lbTableRowLayout.size,
        maxEntries: Math.ceil(backends.length / LbTableShape.row),
        flags: MapFlag.innerMap,
      });
      const rows: [number, LbTableRow][] = [];
      for (let row = 0; row * LbTableShape.row < backends.length; row++) {
        const part = new Array<number>(LbTableShape.row).fill(0);
        for (let at = 0; at < part.length; at++) part[at] = backends[row * LbTableShape.row + at] ?? 0;
        rows.push([row, { backends: part }]);
      }
      typedMap(inner, u32Layout, lbTableRowLayout).setMany(rows);
      bySignature.set(signature, inner.fd.number);
    },
    delete(signature) {
      bySignature.delete(signature);
    },
  };
}

/** The maps of a loaded datapath. @throws WeftError E_BPF_MAP when a layout does not fit */
export function serviceMaps(map: (name: string) => BpfMap): ServiceMaps {
  return {
    frontends: typedMap(map("lb_frontends"), lbFrontendKeyLayout, lbFrontendLayout),
    slots: typedMap(map("lb_slots"), lbSlotKeyLayout, lbTableRowLayout),
    backends: typedMap(map("lb_backends"), lbBackendKeyLayout, lbBackendLayout),
    reverse: typedMap(map("lb_reverse"), lbReverseKeyLayout, lbReverseLayout),
    sourceRanges: typedMap(map("lb_source_ranges"), lbSourceRangeKeyLayout, lbSourceRangeLayout),
    tables: tableMaps(map("lb_tables")),
  };
}

/** What sockets were told they talk to. @throws WeftError E_BPF_MAP when a layout does not fit */
export function serviceSocks(map: (name: string) => BpfMap): TypedMap<LbSockKey, LbSock> {
  return typedMap(map("lb_socks"), lbSockKeyLayout, lbSockLayout);
}

export function toFrontendKey(row: Tuple & Pick<Frontend, "scope">): LbFrontendKey {
  const { address, port, proto, scope } = row;
  return { addr: address, port, proto, scope: scope ? LbScope[scope] : LbScope.any };
}

export function toSourceRangeKey(frontend: number, range: Prefix): LbSourceRangeKey {
  const prefixlen = LbSourceRangeBits.frontend + prefixBits128(range);
  return { prefixlen, frontend, addr: prefixAddress(range) };
}

/** The inverse of {@link toSourceRangeKey}. */
export function fromSourceRangeKey({ prefixlen, addr }: LbSourceRangeKey): Prefix {
  const bits = prefixlen - LbSourceRangeBits.frontend;
  return prefixOf(addr, family(addr) === 4 ? bits - 96 : bits);
}

export function toBackend({ address, port, proto }: Tuple, terminating: boolean): LbBackend {
  return { addr: address, port, proto, flags: terminating ? LbBackendFlag.terminating : 0 };
}
