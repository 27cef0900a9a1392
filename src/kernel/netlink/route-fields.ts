// SPDX-License-Identifier: Apache-2.0
import type { Address, Prefix } from "#model/ip.ts";

/** RTN_* */
export const ROUTE_TYPES = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;
/** RT_SCOPE_* */
export const ROUTE_SCOPES = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;

export type RouteType = keyof typeof ROUTE_TYPES;
export type RouteScope = keyof typeof ROUTE_SCOPES;

/** A route with one next hop. */
export interface Route {
  readonly dst: Prefix;
  /** Index of the outgoing device; none for blackhole, unreachable and prohibit. */
  readonly link?: number;
  /** Of either family: IPv4 through an IPv6 gateway is RTA_VIA. */
  readonly gateway?: Address;
  /** The gateway need not be in a network of the device. */
  readonly onlink?: boolean;
  /** Default `unicast`. */
  readonly type?: RouteType;
  /** Default: as iproute2, `link` for a unicast route without gateway, `host` for local, else `universe`. */
  readonly scope?: RouteScope;
  /** Default 254, main. */
  readonly table?: number;
  /** Preferred source address. */
  readonly src?: Address;
  /** Metric. The kernel's default is 0 for IPv4 and 1024 for IPv6. */
  readonly priority?: number;
  /** Path MTU in bytes. */
  readonly mtu?: number;
  /** TCP MSS to advertise, in bytes. */
  readonly advMss?: number;
  /** Who made it (RTPROT_*): default 4, static. */
  readonly protocol?: number;
  /** Lightweight tunnel: packets get this tunnel key on their way to an external-mode device. */
  readonly encap?: RouteEncap;
}

/** `encap ip id ID dst ADDRESS`; the family is the underlay's. */
export interface RouteEncap {
  /** VNI. */
  readonly id: number;
  readonly dst: Address;
  readonly src?: Address;
  readonly ttl?: number;
}

/** Which routes to list; absent fields match all. */
export interface RouteFilter {
  readonly family?: 4 | 6;
  readonly table?: number;
  readonly link?: number;
  readonly protocol?: number;
}
