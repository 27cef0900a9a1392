// SPDX-License-Identifier: Apache-2.0
/** Ethernet frames as bytes and back, with every checksum made and verified. RFC 791, 8200, 9293, 768, 792, 4443. */
import assert from "node:assert/strict";
import { type Address, addressBytes, addressFromBytes, family, parseAddress } from "#model/ip.ts";

export const Proto = { icmp: 1, tcp: 6, udp: 17, fragment: 44, destinationOptions: 60, icmp6: 58 } as const;
export const Tcp = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

const ETH = 14;
const MAC_A = "02:00:00:00:00:aa";
const MAC_B = "02:00:00:00:00:bb";

/** What is above IP. Ports of ICMP echo: the id. */
export type Transport =
  | { readonly kind: "tcp"; readonly sport: number; readonly dport: number; readonly flags: number }
  | { readonly kind: "udp"; readonly sport: number; readonly dport: number; readonly checksum?: boolean }
  | { readonly kind: "echo"; readonly id: number; readonly reply?: boolean }
  /** `about`: the IP packet the error carries; `word`: the second four bytes (MTU, unused). */
  | {
      readonly kind: "error";
      readonly type: number;
      readonly code: number;
      readonly word?: number;
      readonly about: Uint8Array;
    }
  | { readonly kind: "icmp"; readonly type: number; readonly code: number }
  | { readonly kind: "raw"; readonly proto: number };

export interface PacketFields {
  readonly from: string;
  readonly to: string;
  readonly transport: Transport;
  readonly payload?: Uint8Array;
  readonly ttl?: number;
  readonly id?: number;
  /** IPv6 only: destination option headers of 8 bytes each in front of the transport header. */
  readonly extensions?: number;
}

/** A frame that came out of a program. Reading it verified all its checksums. */
export interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly sourceMac: string;
  readonly destinationMac: string;
  readonly ttl: number;
  readonly proto: number;
  /** ICMP echo: the id in both. */
  readonly sport: number;
  readonly dport: number;
  readonly type: number;
  readonly code: number;
  /** ICMP error: what it carries. */
  readonly about?: Omit<Packet, "sourceMac" | "destinationMac" | "about">;
}

/** Ones' complement sum of 16-bit words, RFC 1071. */
function sum16(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** Bytes of a v4 or v6 address as they stand in a header. */
function wireAddress(address: string): Uint8Array {
  const bytes = addressBytes(parseAddress(address));
  return bytes.length === 16 && family(parseAddress(address)) === 4 ? bytes.subarray(12) : bytes;
}

function pseudoHeader(from: Uint8Array, to: Uint8Array, proto: number, length: number): number {
  return sum16(Uint8Array.of(...from, ...to, 0, 0, length >>> 8, length & 255, 0, proto));
}

function protoOf(transport: Transport, v6: boolean): number {
  if (transport.kind === "raw") return transport.proto;
  if (transport.kind === "tcp") return Proto.tcp;
  if (transport.kind === "udp") return Proto.udp;
  return v6 ? Proto.icmp6 : Proto.icmp;
}

function transportHeader(transport: Transport, payload: Uint8Array, v6: boolean): Uint8Array {
  const header = new Uint8Array(transport.kind === "tcp" ? 20 : 8);
  const view = new DataView(header.buffer);
  switch (transport.kind) {
    case "tcp":
      view.setUint16(0, transport.sport);
      view.setUint16(2, transport.dport);
      view.setUint32(4, 1000);
      view.setUint8(12, 0x50);
      view.setUint8(13, transport.flags);
      view.setUint16(14, 65_535);
      break;
    case "udp":
      view.setUint16(0, transport.sport);
      view.setUint16(2, transport.dport);
      view.setUint16(4, 8 + payload.length);
      break;
    case "echo":
      view.setUint8(0, v6 ? (transport.reply ? 129 : 128) : transport.reply ? 0 : 8);
      view.setUint16(4, transport.id);
      view.setUint16(6, 1);
      break;
    case "error":
      view.setUint8(0, transport.type);
      view.setUint8(1, transport.code);
      view.setUint32(4, transport.word ?? 0);
      break;
    case "icmp":
      view.setUint8(0, transport.type);
      view.setUint8(1, transport.code);
      break;
    case "raw":
      break;
  }
  return header;
}

const checksumAt: Readonly<Record<number, number>> = {
  [Proto.tcp]: 16,
  [Proto.udp]: 6,
  [Proto.icmp]: 2,
  [Proto.icmp6]: 2,
};

/** The transport's header and payload, its checksum filled in. */
export function datagram(fields: PacketFields): Uint8Array {
  const from = wireAddress(fields.from);
  const to = wireAddress(fields.to);
  const v6 = from.length === 16;
  const { transport } = fields;
  const payload = transport.kind === "error" ? transport.about : (fields.payload ?? new Uint8Array());
  const proto = protoOf(transport, v6);
  const bytes = Uint8Array.of(...transportHeader(transport, payload, v6), ...payload);
  const at = checksumAt[proto];
  if (at === undefined || (transport.kind === "udp" && transport.checksum === false)) return bytes;
  const start = proto === Proto.icmp ? 0 : pseudoHeader(from, to, proto, bytes.length);
  let checksum = ~sum16(bytes, start) & 0xffff;
  if (checksum === 0 && proto === Proto.udp) checksum = 0xffff;
  new DataView(bytes.buffer).setUint16(at, checksum);
  return bytes;
}

interface IpFields {
  readonly from: string;
  readonly to: string;
  readonly proto: number;
  readonly ttl?: number;
  readonly id?: number;
  /** Byte offset of a fragment, and whether more follow. */
  readonly fragment?: { readonly offset: number; readonly more: boolean };
}

/** An IP packet around bytes that are already its payload. */
function ipPacket(fields: IpFields, body: Uint8Array): Uint8Array {
  const from = wireAddress(fields.from);
  const to = wireAddress(fields.to);
  const { ttl = 64, fragment, proto, id = 0x1234 } = fields;
  if (from.length === 16)
    return ipv6Packet({ from, to, proto, ttl, id, ...(fragment && { fragment }) }, body);
  const header = new Uint8Array(20);
  const view = new DataView(header.buffer);
  view.setUint8(0, 0x45);
  view.setUint16(2, 20 + body.length);
  view.setUint16(4, id);
  if (fragment) view.setUint16(6, (fragment.offset >> 3) | (fragment.more ? 0x2000 : 0));
  view.setUint8(8, ttl);
  view.setUint8(9, proto);
  header.set(from, 12);
  header.set(to, 16);
  view.setUint16(10, ~sum16(header) & 0xffff);
  return Uint8Array.of(...header, ...body);
}

function ipv6Packet(
  fields: {
    from: Uint8Array;
    to: Uint8Array;
    proto: number;
    ttl: number;
    id: number;
    fragment?: { readonly offset: number; readonly more: boolean };
  },
  body: Uint8Array,
): Uint8Array {
  const { from, to, fragment } = fields;
  const extension = new Uint8Array(fragment ? 8 : 0);
  if (fragment) {
    const view = new DataView(extension.buffer);
    view.setUint8(0, fields.proto);
    view.setUint16(2, fragment.offset | (fragment.more ? 1 : 0));
    view.setUint32(4, fields.id);
  }
  const header = new Uint8Array(40);
  const view = new DataView(header.buffer);
  view.setUint8(0, 0x60);
  view.setUint16(4, extension.length + body.length);
  view.setUint8(6, fragment ? Proto.fragment : fields.proto);
  view.setUint8(7, fields.ttl);
  header.set(from, 8);
  header.set(to, 24);
  return Uint8Array.of(...header, ...extension, ...body);
}

export function frame(packet: Uint8Array): Uint8Array {
  const v6 = packet[0]! >> 4 === 6;
  const mac = (text: string) => text.split(":").map((byte) => Number.parseInt(byte, 16));
  return Uint8Array.of(...mac(MAC_B), ...mac(MAC_A), ...(v6 ? [0x86, 0xdd] : [0x08, 0x00]), ...packet);
}

function ipOf(fields: PacketFields): IpFields {
  const v6 = family(parseAddress(fields.from)) === 6;
  const { from, to, ttl, id } = fields;
  return {
    from,
    to,
    proto: protoOf(fields.transport, v6),
    ...(ttl !== undefined && { ttl }),
    ...(id !== undefined && { id }),
  };
}

/** The IP packet alone, as an ICMP error carries it. */
export function barePacket(fields: PacketFields): Uint8Array {
  let ip = ipOf(fields);
  let body = datagram(fields);
  for (let i = 0; i < (fields.extensions ?? 0); i++) {
    body = Uint8Array.of(ip.proto, 0, 1, 4, 0, 0, 0, 0, ...body);
    ip = { ...ip, proto: Proto.destinationOptions };
  }
  return ipPacket(ip, body);
}

/** A frame of one whole packet. */
export function buildPacket(fields: PacketFields): Uint8Array {
  return frame(barePacket(fields));
}

/** The same datagram as fragments of at most `size` bytes of payload each (a multiple of 8). */
export function buildFragments(fields: PacketFields, size: number): Uint8Array[] {
  const whole = datagram(fields);
  const frames: Uint8Array[] = [];
  for (let offset = 0; offset < whole.length; offset += size) {
    const more = offset + size < whole.length;
    const part = whole.subarray(offset, offset + size);
    frames.push(frame(ipPacket({ ...ipOf(fields), fragment: { offset, more } }, part)));
  }
  return frames;
}

interface IpHead {
  readonly source: string;
  readonly destination: string;
  readonly ttl: number;
  readonly proto: number;
  /** Of the transport header, from the IP header on. */
  readonly offset: number;
  readonly fragment: number;
  readonly more: boolean;
  readonly id: number;
}

function readIp(bytes: Uint8Array): IpHead {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[0]! >> 4 === 4) {
    const offset = (bytes[0]! & 15) * 4;
    assert.equal(sum16(bytes.subarray(0, offset)), 0xffff, "IPv4 header checksum");
    const field = view.getUint16(6);
    return {
      source: v4Text(bytes.subarray(12, 16)),
      destination: v4Text(bytes.subarray(16, 20)),
      ttl: bytes[8]!,
      proto: bytes[9]!,
      offset,
      fragment: (field & 0x1fff) * 8,
      more: (field & 0x2000) !== 0,
      id: view.getUint16(4),
    };
  }
  let proto = bytes[6]!;
  let offset = 40;
  let fragment = 0;
  let more = false;
  let id = 0;
  while (proto === Proto.destinationOptions || proto === Proto.fragment) {
    if (proto === Proto.fragment) {
      fragment = view.getUint16(offset + 2) & ~7;
      more = (view.getUint16(offset + 2) & 1) !== 0;
      id = view.getUint32(offset + 4);
    }
    const words = proto === Proto.fragment ? 0 : bytes[offset + 1]!;
    proto = bytes[offset]!;
    offset += 8 * (1 + words);
    if (fragment > 0) break;
  }
  return {
    source: addressFromBytes(bytes, 8),
    destination: addressFromBytes(bytes, 24),
    ttl: bytes[7]!,
    proto,
    offset,
    fragment,
    more,
    id,
  };
}

function v4Text(bytes: Uint8Array): Address {
  return parseAddress([...bytes].join("."));
}

function checkTransport(head: IpHead, body: Uint8Array): void {
  const at = checksumAt[head.proto];
  if (at === undefined) return;
  if (head.proto === Proto.udp && body[6] === 0 && body[7] === 0) return;
  const from = wireAddress(head.source);
  const start =
    head.proto === Proto.icmp
      ? 0
      : pseudoHeader(from, wireAddress(head.destination), head.proto, body.length);
  assert.equal(sum16(body, start), 0xffff, `transport checksum of protocol ${head.proto}`);
}

function readPorts(head: IpHead, body: Uint8Array) {
  const icmp = head.proto === Proto.icmp || head.proto === Proto.icmp6;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const echo = icmp && [0, 8, 128, 129].includes(body[0]!);
  const hasPorts = head.proto === Proto.tcp || head.proto === Proto.udp;
  return {
    source: head.source,
    destination: head.destination,
    ttl: head.ttl,
    proto: head.proto,
    sport: echo ? view.getUint16(4) : hasPorts ? view.getUint16(0) : 0,
    dport: echo ? view.getUint16(4) : hasPorts ? view.getUint16(2) : 0,
    type: icmp ? body[0]! : 0,
    code: icmp ? body[1]! : 0,
  };
}

/** Reads a frame of one whole packet. Throws AssertionError where a checksum is wrong. */
export function readPacket(bytes: Uint8Array): Packet {
  const packet = bytes.subarray(ETH);
  const head = readIp(packet);
  const body = packet.subarray(head.offset);
  checkTransport(head, body);
  const fields = readPorts(head, body);
  const error =
    (head.proto === Proto.icmp && [3, 11, 12].includes(fields.type)) ||
    (head.proto === Proto.icmp6 && fields.type < 128);
  return { ...fields, ...macs(bytes), ...(error && { about: readCarried(body.subarray(8)) }) };
}

/** The packet inside an ICMP error: cut off, so only its IP header can be verified. */
function readCarried(bytes: Uint8Array) {
  const head = readIp(bytes);
  return readPorts(head, bytes.subarray(head.offset));
}

function macs(bytes: Uint8Array) {
  const text = (at: number) =>
    [...bytes.subarray(at, at + 6)].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
  return { destinationMac: text(0), sourceMac: text(6) };
}

/** Puts fragments together again and reads the datagram, so that its checksum is verified over all of them. */
export function readFragments(frames: readonly Uint8Array[]): Packet {
  const parts = frames.map((bytes) => {
    const packet = bytes.subarray(ETH);
    const head = readIp(packet);
    return { head, body: packet.subarray(head.offset) };
  });
  const first = parts.find(({ head }) => head.fragment === 0);
  assert.ok(first, "no first fragment");
  for (const { head } of parts) {
    assert.deepEqual(
      [head.source, head.destination, head.id],
      [first.head.source, first.head.destination, first.head.id],
    );
  }
  const ordered = parts.toSorted((a, b) => a.head.fragment - b.head.fragment);
  const body = Uint8Array.from(ordered.flatMap((part) => [...part.body]));
  const { source, destination, ttl, proto } = first.head;
  return readPacket(frame(ipPacket({ from: source, to: destination, proto, ttl }, body)));
}
