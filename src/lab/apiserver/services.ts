// SPDX-License-Identifier: Apache-2.0
import { family, type Prefix, parsePrefix, prefixSize } from "#model/ip.ts";
import { allocateAddresses } from "./cluster-ips.ts";
import type { FieldError } from "./errors.ts";
import type { Holdings, Pool } from "./holdings.ts";
import { allocatePorts, firstNodePort } from "./node-ports.ts";
import { type KubeObject, listAt, stringAt, stringsAt } from "./object.ts";
import type { Store } from "./store.ts";

type Allocate = (draft: KubeObject, old: KubeObject | undefined) => readonly FieldError[];

/**
 * Gives Services their cluster IPs and node ports. The families are those of the prefixes, the first one is the default.
 * Nothing is noted when given: the write that follows, if any, is what counts.
 */
export function serviceAllocator(store: Store, serviceCidrs: readonly string[]): Allocate {
  const pools = serviceCidrs.map((text): Pool => {
    const prefix = parsePrefix(text);
    return { prefix, name: family(prefix) === 4 ? "IPv4" : "IPv6", next: staticBand(prefix) };
  });
  const holdings: Holdings = { held: new Map(), pools, nextPort: firstNodePort };
  store.listen("/services", (event) => {
    for (const thing of event.previous ? thingsOf(event.previous) : []) {
      if (holdings.held.get(thing) === event.key) holdings.held.delete(thing);
    }
    if (event.type !== "DELETED")
      for (const thing of thingsOf(event.object)) holdings.held.set(thing, event.key);
  });
  return (draft, old) => {
    const errors = allocateAddresses(holdings, draft, old);
    return errors.length > 0 ? errors : allocatePorts(holdings, draft, old);
  };
}

/** Addresses before this one are for those who ask for a certain one; 1 is the API server's. */
function staticBand(prefix: Prefix): number {
  const size = prefixSize(prefix);
  return size < 64 ? 2 : Math.min(Math.max(16, Math.floor(size / 16)), 256);
}

function thingsOf(service: KubeObject): string[] {
  const ports = listAt(service, "spec", "ports").filter((port) => typeof port["nodePort"] === "number");
  const addresses = stringsAt(service, "spec", "clusterIPs").filter((ip) => ip !== "None");
  return [...addresses, ...ports.map((port) => `${stringAt(port, "protocol")}/${String(port["nodePort"])}`)];
}
