// SPDX-License-Identifier: Apache-2.0

import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import { hasErrno } from "#kernel/errno.ts";
import {
  type Attributes,
  decodeAttributes,
  type Message,
  MessageWriter,
  nestedOf,
  numberOf,
} from "#kernel/netlink/codec.ts";
import { type Netlink, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "#kernel/netlink/handle.ts";
import { inetAddress, inetBytes, inetFamily, inetPrefix } from "#kernel/netlink/inet.ts";
import { AF_INET, AF_INET6 } from "#kernel/socket.ts";
import { type Address, family, type Prefix, prefixBits } from "#model/ip.ts";

export type RouteType = keyof typeof TYPES;
export type RouteScope = keyof typeof SCOPES;

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

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTA_ENCAP_TYPE = 21;
const RTA_ENCAP = 22;
const RTAX_MTU = 2;
const RTAX_ADVMSS = 8;
const RTNH_F_ONLINK = 4;
const RTM_F_CLONED = 0x200;
const RTPROT_STATIC = 4;
const RT_TABLE_COMPAT = 252;
const RT_TABLE_MAIN = 254;
const LWTUNNEL_ENCAP_IP = 2;
const LWTUNNEL_ENCAP_IP6 = 4;
const LWTUNNEL_IP_ID = 1;
const LWTUNNEL_IP_DST = 2;
const LWTUNNEL_IP_SRC = 3;
const LWTUNNEL_IP_TTL = 4;
const TYPES = {
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
const SCOPES = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;

/** Adds a route. @throws KernelError E_NETLINK (`EEXIST`, `ENODEV`, `ENETUNREACH`, …) */
export function addRoute(netlink: Netlink, route: Route): void {
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  netlink.request({
    type: RTM_NEWROUTE,
    flags,
    payload: encode(route),
    what: () => `add route ${text(route)}`,
  });
}

/** Adds a route, or puts it in place of the one with the same destination, table and metric. */
export function replaceRoute(netlink: Netlink, route: Route): void {
  const flags = NLM_F_CREATE | NLM_F_REPLACE;
  netlink.request({
    type: RTM_NEWROUTE,
    flags,
    payload: encode(route),
    what: () => `replace route ${text(route)}`,
  });
}

/** Deletes the route that has all the given fields. True when there was one. */
export function deleteRoute(netlink: Netlink, route: Route): boolean {
  try {
    netlink.request({
      type: RTM_DELROUTE,
      payload: encode(route),
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
    .flatMap((wanted) => {
      const writer = header(wanted === 4 ? AF_INET : AF_INET6, { protocol: filter.protocol ?? 0 });
      if (filter.table !== undefined) writer.attributeU32(RTA_TABLE, filter.table);
      if (filter.link !== undefined) writer.attributeU32(RTA_OIF, filter.link);
      return dumpOf(netlink, writer.finish());
    });
}

function dumpOf(netlink: Netlink, payload: Uint8Array): Route[] {
  try {
    const messages = netlink.dump({ type: RTM_GETROUTE, payload, what: () => "list routes" });
    // IPv6 lists cached exceptions (learned path MTUs) among the routes.
    return messages.filter(({ payload: at }) => (flagsOf(at) & RTM_F_CLONED) === 0).map(decode);
  } catch (error) {
    // A table or device nobody has used yet.
    if (hasErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

/** The route this namespace would take to an address. Undefined when there is none. */
export function lookupRoute(netlink: Netlink, to: Address): Route | undefined {
  const payload = header(inetFamily(to), { dstBits: family(to) === 4 ? 32 : 128 })
    .attribute(RTA_DST, inetBytes(to))
    .finish();
  try {
    const [message] = netlink.request({ type: RTM_GETROUTE, payload, what: () => `look up route to ${to}` });
    return message && decode(message);
  } catch (error) {
    if (hasErrno(error, "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL")) return undefined;
    throw error;
  }
}

interface Header {
  readonly dstBits?: number;
  readonly table?: number;
  readonly protocol?: number;
  readonly scope?: number;
  readonly type?: number;
  readonly flags?: number;
}

/** struct rtmsg */
function header(
  domain: number,
  { dstBits = 0, table = 0, protocol = 0, scope = 0, type = 0, flags = 0 }: Header,
) {
  const writer = new MessageWriter().u8(domain).u8(dstBits).u8(0).u8(0);
  return writer.u8(table).u8(protocol).u8(scope).u8(type).u32(flags);
}

function encode(route: Route): Uint8Array {
  const { dst, type = "unicast", table = RT_TABLE_MAIN } = route;
  const writer = header(inetFamily(dst), {
    dstBits: prefixBits(dst),
    table: table < 256 ? table : RT_TABLE_COMPAT,
    protocol: route.protocol ?? RTPROT_STATIC,
    scope: SCOPES[route.scope ?? defaultScope(route)],
    type: TYPES[type],
    flags: route.onlink === true ? RTNH_F_ONLINK : 0,
  });
  writer.attribute(RTA_DST, inetBytes(dst)).attributeU32(RTA_TABLE, table);
  if (route.link !== undefined) writer.attributeU32(RTA_OIF, route.link);
  if (route.gateway !== undefined) encodeGateway(writer, dst, route.gateway);
  if (route.src !== undefined) writer.attribute(RTA_PREFSRC, inetBytes(route.src));
  if (route.priority !== undefined) writer.attributeU32(RTA_PRIORITY, route.priority);
  if (route.mtu !== undefined || route.advMss !== undefined) {
    writer.nested(RTA_METRICS, () => {
      if (route.mtu !== undefined) writer.attributeU32(RTAX_MTU, route.mtu);
      if (route.advMss !== undefined) writer.attributeU32(RTAX_ADVMSS, route.advMss);
    });
  }
  if (route.encap !== undefined) encodeEncap(writer, route.encap);
  return writer.finish();
}

function defaultScope({ type = "unicast", gateway, encap, dst }: Route): RouteScope {
  if (family(dst) === 6) return "universe";
  if (type === "local") return "host";
  return type === "unicast" && gateway === undefined && encap === undefined ? "link" : "universe";
}

function encodeGateway(writer: MessageWriter, dst: Prefix, gateway: Address): void {
  const bytes = inetBytes(gateway);
  if (family(dst) === family(gateway)) {
    writer.attribute(RTA_GATEWAY, bytes);
    return;
  }
  const via = new Uint8Array(2 + bytes.length);
  new DataView(via.buffer).setUint16(0, inetFamily(gateway), LITTLE_ENDIAN);
  via.set(bytes, 2);
  writer.attribute(RTA_VIA, via);
}

/** The attributes of LWTUNNEL_ENCAP_IP and _IP6 have the same numbers. */
function encodeEncap(writer: MessageWriter, { id, dst, src, ttl }: RouteEncap): void {
  writer.attributeU16(RTA_ENCAP_TYPE, family(dst) === 4 ? LWTUNNEL_ENCAP_IP : LWTUNNEL_ENCAP_IP6);
  writer.nested(RTA_ENCAP, () => {
    writer.attributeBe64(LWTUNNEL_IP_ID, BigInt(id)).attribute(LWTUNNEL_IP_DST, inetBytes(dst));
    if (src !== undefined) writer.attribute(LWTUNNEL_IP_SRC, inetBytes(src));
    if (ttl !== undefined) writer.attributeU8(LWTUNNEL_IP_TTL, ttl);
  });
}

function decode({ payload }: Message): Route {
  const attributes = decodeAttributes(payload, 12);
  const domain = payload[0]!;
  const src = attributes.get(RTA_PREFSRC);
  const link = numberOf(attributes, RTA_OIF);
  const gateway = decodeGateway(attributes);
  const priority = numberOf(attributes, RTA_PRIORITY);
  const metrics = nestedOf(attributes, RTA_METRICS);
  const mtu = numberOf(metrics, RTAX_MTU);
  const advMss = numberOf(metrics, RTAX_ADVMSS);
  const encap = decodeEncap(attributes);
  return {
    dst: inetPrefix(attributes.get(RTA_DST), payload[1]!, domain),
    type: nameOf(TYPES, payload[7]!, "unicast"),
    scope: nameOf(SCOPES, payload[6]!, "universe"),
    table: numberOf(attributes, RTA_TABLE) ?? payload[4]!,
    protocol: payload[5]!,
    ...((flagsOf(payload) & RTNH_F_ONLINK) !== 0 && { onlink: true }),
    ...(link !== undefined && { link }),
    ...(gateway !== undefined && { gateway }),
    ...(src !== undefined && { src: inetAddress(src) }),
    ...(priority !== undefined && { priority }),
    ...(mtu !== undefined && { mtu }),
    ...(advMss !== undefined && { advMss }),
    ...(encap !== undefined && { encap }),
  };
}

function decodeGateway(attributes: Attributes): Address | undefined {
  const bytes = attributes.get(RTA_GATEWAY) ?? attributes.get(RTA_VIA)?.subarray(2);
  return bytes && inetAddress(bytes);
}

function decodeEncap(attributes: Attributes): RouteEncap | undefined {
  const kind = numberOf(attributes, RTA_ENCAP_TYPE);
  if (kind !== LWTUNNEL_ENCAP_IP && kind !== LWTUNNEL_ENCAP_IP6) return undefined;
  const encap = nestedOf(attributes, RTA_ENCAP);
  const id = encap.get(LWTUNNEL_IP_ID);
  const dst = encap.get(LWTUNNEL_IP_DST);
  if (id?.length !== 8 || dst === undefined) return undefined;
  const src = encap.get(LWTUNNEL_IP_SRC);
  const ttl = numberOf(encap, LWTUNNEL_IP_TTL);
  return {
    id: Number(new DataView(id.buffer, id.byteOffset, 8).getBigUint64(0)),
    dst: inetAddress(dst),
    ...(src?.some((byte) => byte !== 0) && { src: inetAddress(src) }),
    ...(ttl !== undefined && ttl !== 0 && { ttl }),
  };
}

function flagsOf(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint32(8, LITTLE_ENDIAN);
}

function nameOf<Name extends string>(
  names: Readonly<Record<Name, number>>,
  value: number,
  otherwise: Name,
): Name {
  for (const name in names) if (names[name] === value) return name;
  return otherwise;
}

function text({ dst, type, gateway, link, encap }: Route): string {
  const parts: string[] = [dst];
  if (type !== undefined && type !== "unicast") parts.unshift(type);
  if (gateway !== undefined) parts.push(`via ${gateway}`);
  if (encap !== undefined) parts.push(`encap id ${encap.id} dst ${encap.dst}`);
  if (link !== undefined) parts.push(`dev ${link}`);
  return parts.join(" ");
}
