// SPDX-License-Identifier: Apache-2.0

import { readAddress, writeAddress } from "#kernel/bpf/field-codec.ts";
import type { Layout } from "#kernel/bpf/layout.ts";
import { type TypedMap, typedMap } from "#kernel/bpf/typed-map.ts";
import type { Address } from "#model/ip.ts";
import { ctEntryLayout } from "./layouts/ct-entry.ts";
import { ctKeyLayout } from "./layouts/ct-key.ts";
import { egressEntryLayout } from "./layouts/egress-entry.ts";
import { egressKeyLayout } from "./layouts/egress-key.ts";
import { endpointLayout } from "./layouts/endpoint.ts";
import { ipcacheEntryLayout } from "./layouts/ipcache-entry.ts";
import { ipcacheKeyLayout } from "./layouts/ipcache-key.ts";
import type { Datapath } from "./load.ts";
import { mappings } from "./nat-table.ts";

const u32Layout: Layout<number> = {
  name: "__u32",
  size: 4,
  read: (view, offset) => view.getUint32(offset, true),
  write: (view, offset, value) => view.setUint32(offset, value, true),
};

const addressLayout: Layout<Address> = { name: "addr", size: 16, read: readAddress, write: writeAddress };

function typed<K, V>(datapath: Datapath, name: string, key: Layout<K>, value: Layout<V>): TypedMap<K, V> {
  return typedMap(datapath.map(name), key, value);
}

/** The maps that user space fills or reads row by row, by what they hold. */
export function datapathMaps(datapath: Datapath) {
  return {
    endpointsByIfindex: typed(datapath, "endpoints_by_ifindex", u32Layout, endpointLayout),
    endpointsByAddress: typed(datapath, "endpoints_by_addr", addressLayout, endpointLayout),
    hostEndpoint: typed(datapath, "host_endpoint", u32Layout, endpointLayout),
    ipcache: typed(datapath, "ipcache", ipcacheKeyLayout, ipcacheEntryLayout),
    blocks: typed(datapath, "blocks", ipcacheKeyLayout, u32Layout),
    egress: typed(datapath, "egress", egressKeyLayout, egressEntryLayout),
    masqExempt: typed(datapath, "masq_exempt", ipcacheKeyLayout, u32Layout),
    conntrack: typed(datapath, "conntrack", ctKeyLayout, ctEntryLayout),
    nat: { entries: () => mappings(datapath.map("nat_sets")) },
  };
}

export type DatapathMaps = ReturnType<typeof datapathMaps>;
