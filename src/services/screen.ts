// SPDX-License-Identifier: Apache-2.0
import type { Address } from "#model/ip.ts";
import { addressesOf, type EndpointSlice, type Service, serviceKey } from "#services/table.ts";
import type { Table } from "#store/table.ts";

/** Whose addresses there are. */
export interface Known<S extends Service = Service> {
  /** With an index `address`. */
  readonly services: Table<S>;
  isNode(address: Address): boolean;
}

/**
 * The slices, and of each endpoint that is a service's own address, which: nobody is led there, for it would lead on to another
 * service's backends, or round in a circle. Only slices that people write can have such endpoints; an outer address of a
 * service may be a node's own, which is a place to be led to.
 */
export function screened(slices: readonly EndpointSlice[], known: Known): EndpointSlice[] {
  return slices.map((slice) => {
    if (!slice.foreign) return slice;
    const endpoints = slice.endpoints.map((endpoint) => {
      const owner = ownerOf(endpoint.address, known);
      return owner === undefined ? endpoint : { ...endpoint, addressOf: owner };
    });
    return { ...slice, endpoints };
  });
}

function ownerOf(address: Address, { services, isNode }: Known): string | undefined {
  let outer: string | undefined;
  for (const service of services.by("address", address)) {
    if (service.clusterIps.includes(address)) return serviceKey(service);
    outer ??= serviceKey(service);
  }
  return outer !== undefined && isNode(address) ? undefined : outer;
}

/** Keeps in mind whose endpoints are whose addresses, so that a change of the one concerns the other. */
export class ScreenedServices {
  readonly #concerned = new Map<string, Set<string>>();
  readonly #known: Known;
  readonly #slices: Table<EndpointSlice>;

  /** @param slices with an index `address` of foreign ones */
  constructor(known: Known, slices: Table<EndpointSlice>) {
    this.#known = known;
    this.#slices = slices;
  }

  slicesOf(service: string): EndpointSlice[] {
    const slices = screened([...this.#slices.by("service", service)], this.#known);
    for (const { endpoints, foreign } of slices)
      for (const { addressOf } of foreign ? endpoints : [])
        if (addressOf !== undefined) this.#remember(addressOf, service);
    return slices;
  }

  /** The services of which an endpoint is, was or may be an address of the given one. */
  concernedBy(key: string): Iterable<string> {
    const concerned = this.#concerned.get(key) ?? new Set();
    this.#concerned.delete(key);
    const row = this.#known.services.get(key);
    for (const address of row ? addressesOf(row) : [])
      for (const { service } of this.#slices.by("address", address)) concerned.add(service);
    return concerned;
  }

  #remember(owner: string, service: string): void {
    const concerned = this.#concerned.get(owner);
    if (concerned) concerned.add(service);
    else this.#concerned.set(owner, new Set([service]));
  }
}
