// SPDX-License-Identifier: Apache-2.0
import { type Address, addressBytes, addressFromBytes, family } from "#model/ip.ts";

/** Frames by which a node says that it answers for an address now: to those who knew another place for it. */

const broadcast = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const allNodesMac = [0x33, 0x33, 0, 0, 0, 1];
const allNodes = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const ADVERTISEMENT = 136;
const OVERRIDE = 0x20;

/** IPv4: an announcement as request and as reply, since hosts differ in which they believe (RFC 5227 section 3); IPv6: an unsolicited advertisement. */
export function announcements(address: Address, mac: string): Uint8Array[] {
  const own = mac.split(":").map((part) => Number.parseInt(part, 16));
  if (family(address) === 6) return [advertisement(address, own)];
  return [arp(ARP_REQUEST, address, own), arp(ARP_REPLY, address, own)];
}

/** RFC 826, with the address as sender and as target. */
function arp(op: number, address: Address, mac: readonly number[]): Uint8Array {
  const v4 = addressBytes(address).subarray(12);
  const target = op === ARP_REQUEST ? [0, 0, 0, 0, 0, 0] : mac;
  const body = [0, 1, 0x08, 0x00, 6, 4, 0, op, ...mac, ...v4, ...target, ...v4];
  return Uint8Array.from([...broadcast, ...mac, 0x08, 0x06, ...body]);
}

/** RFC 4861 section 7.2.6. */
function advertisement(address: Address, mac: readonly number[]): Uint8Array {
  const source = addressBytes(address);
  const icmp = [ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0, ...source, 2, 1, ...mac];
  const sum = checksum([...source, ...allNodes, 0, 0, 0, icmp.length, 0, 0, 0, 58, ...icmp]);
  icmp[2] = sum >>> 8;
  icmp[3] = sum & 0xff;
  const ip = [0x60, 0, 0, 0, 0, icmp.length, 58, 255, ...source, ...allNodes];
  return Uint8Array.from([...allNodesMac, ...mac, 0x86, 0xdd, ...ip, ...icmp]);
}

/** RFC 1071, of an even number of bytes. */
function checksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** The group that questions for an IPv6 address are sent to (RFC 4291 section 2.7.1). */
export function solicitedNodeGroup(address: Address): Address {
  const group = Uint8Array.of(0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0);
  group.set(addressBytes(address).subarray(13), 13);
  return addressFromBytes(group);
}
