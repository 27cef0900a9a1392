// SPDX-License-Identifier: Apache-2.0

/**
 * Entries of the load balancer's maps for so many services, one rule for all: two addresses and ports a service (two families, or a
 * node port), four backends of its own, eight places for them. What a service has less another may have more. Room costs
 * 16 bytes an entry, entries as many as there are; maps that follow clients (affinity, sockets, connections) are none of these.
 */
export function serviceMapSizes(services: number): Readonly<Record<string, number>> {
  return {
    lb_frontends: 2 * services,
    lb_reverse: 2 * services,
    lb_tables: 2 * services,
    lb_backends: 4 * services,
    lb_slots: 8 * services,
    lb_source_ranges: services,
  };
}
