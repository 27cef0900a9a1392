// SPDX-License-Identifier: Apache-2.0
import { hasErrno } from "#kernel/errno.ts";
import { type Netlink, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "#kernel/netlink/handle.ts";
import {
  decodeRoute,
  encodeFilter,
  encodeLookup,
  encodeRoute,
  isCloned,
} from "#kernel/netlink/route-codec.ts";
import type { Route, RouteFilter } from "#kernel/netlink/route-fields.ts";
import type { Address } from "#model/ip.ts";

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

/** Adds a route. @throws KernelError E_NETLINK (`EEXIST`, `ENODEV`, `ENETUNREACH`, …) */
export function addRoute(netlink: Netlink, route: Route): void {
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  netlink.request({
    type: RTM_NEWROUTE,
    flags,
    payload: encodeRoute(route),
    what: () => `add route ${text(route)}`,
  });
}

/** Adds a route, or puts it in place of the one with the same destination, table and metric. */
export function replaceRoute(netlink: Netlink, route: Route): void {
  const flags = NLM_F_CREATE | NLM_F_REPLACE;
  netlink.request({
    type: RTM_NEWROUTE,
    flags,
    payload: encodeRoute(route),
    what: () => `replace route ${text(route)}`,
  });
}

/** Deletes the route that has all the given fields. True when there was one. */
export function deleteRoute(netlink: Netlink, route: Route): boolean {
  try {
    netlink.request({
      type: RTM_DELROUTE,
      payload: encodeRoute(route),
      what: () => `delete route ${text(route)}`,
    });
    return true;
  } catch (error) {
    // ENODEV: the device is gone, and its routes with it.
    if (hasErrno(error, "ESRCH", "ENODEV")) return false;
    throw error;
  }
}

/** Routes of every table, or the ones a filter leaves. Routes with several next hops have no `link`. */
export function listRoutes(netlink: Netlink, filter: RouteFilter = {}): Route[] {
  return ([4, 6] as const)
    .filter((wanted) => filter.family === undefined || filter.family === wanted)
    .flatMap((wanted) => dumpOf(netlink, encodeFilter(wanted, filter)));
}

function dumpOf(netlink: Netlink, payload: Uint8Array): Route[] {
  try {
    const messages = netlink.dump({ type: RTM_GETROUTE, payload, what: () => "list routes" });
    // IPv6 lists cached exceptions (learned path MTUs) among the routes.
    return messages.filter((message) => !isCloned(message)).map(decodeRoute);
  } catch (error) {
    // A table or device nobody has used yet.
    if (hasErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

/** The route this namespace would take to an address. Undefined when there is none. */
export function lookupRoute(netlink: Netlink, to: Address): Route | undefined {
  const payload = encodeLookup(to);
  try {
    const [message] = netlink.request({ type: RTM_GETROUTE, payload, what: () => `look up route to ${to}` });
    return message && decodeRoute(message);
  } catch (error) {
    if (hasErrno(error, "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL")) return undefined;
    throw error;
  }
}

function text({ dst, type, gateway, link, encap }: Route): string {
  const parts: string[] = [dst];
  if (type !== undefined && type !== "unicast") parts.unshift(type);
  if (gateway !== undefined) parts.push(`via ${gateway}`);
  if (encap !== undefined) parts.push(`encap id ${encap.id} dst ${encap.dst}`);
  if (link !== undefined) parts.push(`dev ${link}`);
  return parts.join(" ");
}
