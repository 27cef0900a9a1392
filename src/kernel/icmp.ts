// SPDX-License-Identifier: Apache-2.0
import type { Family } from "#model/ip.ts";

const ECHO_REQUEST = { 4: 8, 6: 128 } as const;
const ECHO_REPLY = { 4: 0, 6: 129 } as const;

/** An echo request with 24 bytes of data (RFC 792, RFC 4443). The ICMPv6 checksum is left to the kernel, as raw sockets have it. */
export function encodeEcho(family: Family, id: number, sequence: number): Uint8Array {
  const packet = new Uint8Array(32);
  const view = new DataView(packet.buffer);
  packet[0] = ECHO_REQUEST[family];
  view.setUint16(4, id);
  view.setUint16(6, sequence);
  for (let i = 8; i < packet.length; i++) packet[i] = i;
  if (family === 4) view.setUint16(2, internetChecksum(packet));
  return packet;
}

/**
 * Reads what a raw socket received (IPv4 with the IP header in front, IPv6 without); undefined when it is not an
 * echo reply.
 */
export function decodeEchoReply(
  family: Family,
  packet: Uint8Array,
): { id: number; sequence: number } | undefined {
  const offset = family === 4 ? ((packet[0] ?? 0) & 0x0f) * 4 : 0;
  if (packet.length < offset + 8 || packet[offset] !== ECHO_REPLY[family] || packet[offset + 1] !== 0)
    return undefined;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  return { id: view.getUint16(offset + 4), sequence: view.getUint16(offset + 6) };
}

/** RFC 1071, over bytes whose checksum field is zero. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
