// SPDX-License-Identifier: Apache-2.0

/** What of the settings `services` says how much room there is. */
export interface ServiceRoom {
  /** Services' worth of it. */
  readonly capacity: number;
  readonly algorithm: "random" | "maglev";
}

/** Of services that hash or have weights only because an annotation says so there is room for one in so many. */
const tablesOneIn = 8;

/**
 * Entries of the load balancer's maps for so many services, one rule for all: two addresses and ports a service (two families, or a
 * node port), four backends of its own, two rows of sixteen places for them, and a table for each where every service hashes. What a service has
 * less another may have more. Room costs 16 bytes an entry, entries as many as there are; maps that follow clients (affinity, sockets,
 * connections) are none of these.
 */
export function serviceMapSizes({ capacity, algorithm }: ServiceRoom): Readonly<Record<string, number>> {
  return {
    lb_frontends: 2 * capacity,
    lb_reverse: 2 * capacity,
    lb_tables: algorithm === "maglev" ? capacity : Math.ceil(capacity / tablesOneIn),
    lb_backends: 4 * capacity,
    lb_slots: 2 * capacity,
    lb_source_ranges: capacity,
  };
}
