// SPDX-License-Identifier: Apache-2.0
import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import {
  type Attributes,
  decodeAttributes,
  type Message,
  MessageWriter,
  nestedOf,
  numberOf,
} from "#kernel/netlink/codec.ts";
import { inetAddress, inetBytes, inetFamily, inetPrefix } from "#kernel/netlink/inet.ts";
import {
  ROUTE_SCOPES,
  ROUTE_TYPES,
  type Route,
  type RouteEncap,
  type RouteFilter,
  type RouteScope,
} from "#kernel/netlink/route-fields.ts";
import { AF_INET, AF_INET6 } from "#kernel/socket.ts";
import { type Address, type Family, family, type Prefix, prefixBits } from "#model/ip.ts";

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

/** The body of a request to add, replace or delete a route. */
export function encodeRoute(route: Route): Uint8Array {
  const { dst, type = "unicast", table = RT_TABLE_MAIN } = route;
  const writer = header(inetFamily(dst), {
    dstBits: prefixBits(dst),
    table: table < 256 ? table : RT_TABLE_COMPAT,
    protocol: route.protocol ?? RTPROT_STATIC,
    scope: ROUTE_SCOPES[route.scope ?? defaultScope(route)],
    type: ROUTE_TYPES[type],
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

/** The body of a dump that strict checking narrows to a filter. */
export function encodeFilter(family: Family, { table, link, protocol }: RouteFilter): Uint8Array {
  const writer = header(family === 4 ? AF_INET : AF_INET6, { protocol: protocol ?? 0 });
  if (table !== undefined) writer.attributeU32(RTA_TABLE, table);
  if (link !== undefined) writer.attributeU32(RTA_OIF, link);
  return writer.finish();
}

/** The body of a question for the route to an address. */
export function encodeLookup(to: Address): Uint8Array {
  const dstBits = family(to) === 4 ? 32 : 128;
  return header(inetFamily(to), { dstBits }).attribute(RTA_DST, inetBytes(to)).finish();
}

/** A cached exception such as a learned path MTU, not a route somebody made. */
export function isCloned({ payload }: Message): boolean {
  return (flagsOf(payload) & RTM_F_CLONED) !== 0;
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

/** @throws WeftError E_NETLINK_FORMAT */
export function decodeRoute({ payload }: Message): Route {
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
    type: nameOf(ROUTE_TYPES, payload[7]!, "unicast"),
    scope: nameOf(ROUTE_SCOPES, payload[6]!, "universe"),
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
