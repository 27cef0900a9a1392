// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import type { Endpoint as EndpointValue } from "#datapath/layouts/endpoint.ts";
import { eachEntry } from "#datapath/map-ops.ts";
import type { TypedMap } from "#kernel/bpf/typed-map.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Address } from "#model/ip.ts";
import { type Reconciler, type ReconcilerOps, startReconciler } from "#store/reconciler.ts";
import type { Database, Table } from "#store/table.ts";
import { addressesOf, type EndpointEntries, endpointEntries } from "./entries.ts";
import type { DatapathEndpoint } from "./table.ts";

export interface EndpointMaps {
  readonly byIfindex: TypedMap<number, EndpointValue>;
  readonly byAddress: TypedMap<Address, EndpointValue>;
}

export interface EndpointReconcilerDeps {
  readonly db: Database;
  readonly desired: Table<DatapathEndpoint>;
  readonly maps: EndpointMaps;
  readonly signal: AbortSignal;
  readonly health: Health;
  readonly log: Logger;
}

export function startEndpointReconciler(deps: EndpointReconcilerDeps): Reconciler {
  return startReconciler<DatapathEndpoint, EndpointEntries>({
    name: "endpoint-maps",
    table: deps.desired,
    db: deps.db,
    encode: endpointEntries,
    ops: endpointOps(deps.maps),
    signal: deps.signal,
    health: deps.health,
    log: deps.log,
  });
}

/**
 * Under its device first: a pod whose own row is missing cannot send, one whose address is unknown only is not reached yet. An address
 * that a newer endpoint has taken over is left to it.
 */
function endpointOps({ byIfindex, byAddress }: EndpointMaps): ReconcilerOps<EndpointEntries> {
  return {
    *list() {
      const claimed = new Set<Address>();
      for (const [ifindex, value] of byIfindex.entries()) {
        const whole = addressesOf(value).every((address) => isDeepStrictEqual(byAddress.get(address), value));
        for (const address of addressesOf(value)) claimed.add(address);
        // Half an endpoint counts as another value, so that it is written again.
        const entry = { ifindex, addresses: addressesOf(value), value };
        yield [String(value.id), whole ? entry : { ...entry, addresses: [] }] as const;
      }
      for (const [address, value] of byAddress.entries()) {
        if (!claimed.has(address))
          yield [`stray ${address}`, { ifindex: 0, addresses: [address], value }] as const;
      }
    },
    update: (batch) =>
      eachEntry(batch, ({ ifindex, addresses, value }) => {
        byIfindex.set(ifindex, value);
        for (const address of addresses) byAddress.set(address, value);
      }),
    delete: (batch) =>
      eachEntry(batch, ({ ifindex, addresses, value }) => {
        for (const address of addresses.length > 0 ? addresses : addressesOf(value)) {
          if (byAddress.get(address)?.id === value.id) byAddress.delete(address);
        }
        if (byIfindex.get(ifindex)?.id === value.id) byIfindex.delete(ifindex);
      }),
  };
}
